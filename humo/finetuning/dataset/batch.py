"""What a training step receives: encoded clips of one size, as `humo.finetuning.dataset.loader` reads them from
prepared shards.

Nothing is dropped, noised or weighed here; that is the recipe's business.
"""

# b clips, z channels of video latents, k latent frames, r references, h w latent grid, n text tokens, c ca channels

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Clips of one size, encoded; all tensors float32."""

    latents: Tensor
    """Clean video latents, normalised, (b, z, k, h, w)."""
    references: Tensor
    """Clean latents of the reference pictures, normalised, (b, z, r, h, w)."""
    text: Tensor
    """Features of the caption, zeros after its end, (b, n, c)."""
    null_text: Tensor
    """Features of the empty caption, what a dropped caption becomes, (1, n, c)."""
    audio: Tensor
    """Windows of audio features, zeros on references, (b, k + r, 8, 5, ca)."""
    face: Tensor
    """Face mask in {0, 1} on the latent grid, (b, k, h, w)."""
    keys: list[str]
    """Names of the clips, in order."""

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.latents)

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on a device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "keys"}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})
