"""Focus-by-predicting: the head that predicts where the face is, its loss and its measure.

During training the head reads the hidden states after the audio attention of the last four blocks and
predicts the face mask, which teaches the audio attention to look at faces without ever being forced to. It is
a separate model because the published weights have none and because nothing needs it to generate; `mini` uses
it to show its masks.

Source: HuMo sec. 3.3 (arXiv 2509.08519). The released code contains neither the head nor its loss.
"""

# b batch, f latent frames, h w latent grid, n tokens of the patched grid

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

MASK_SIGMA = 0.5
"""Face masks are read at the first step at or below this noise level: before it there is hardly a face (ours)."""


class FaceMaskPredictor(ModelMixin, ConfigMixin):
    """Predicts the face mask from audio-attended hidden states; one small readout per block, outputs
    averaged.

    The layers of the readout are ours, for the paper does not publish them: a LayerNorm and one linear layer,
    or an MLP with one hidden layer where `hidden_dim` is given.

    Args:
        dim: channels of the transformer's hidden states.
        num_blocks: number of blocks read, the last ones.
        hidden_dim: width of the hidden layer; None for a linear readout.
        patch_size: patch size of the transformer.

    Source: HuMo sec. 3.3.
    """

    @register_to_config
    def __init__(
        self,
        dim: int,
        num_blocks: int = 4,
        hidden_dim: int | None = None,
        patch_size: tuple[int, int, int] = (1, 2, 2),
    ) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(_make_readout(dim, hidden_dim, math.prod(patch_size)) for _ in range(num_blocks))

    def forward(self, attended: Sequence[Tensor], grid: tuple[int, int, int]) -> Tensor:
        """Predict the mask's logits.

        Args:
            attended: states after the audio attention of the last blocks, `num_blocks` tensors (b, n, dim).
            grid: tokens along frames, rows and columns; their product is n.

        Returns:
            Mean logits of all blocks, (b, f, h, w) on the latent grid.

        Raises:
            ValueError: if the number of tensors or of tokens does not fit.
        """
        if len(attended) != self.config["num_blocks"]:
            raise ValueError(
                f"attended has {len(attended)} tensors but the head reads {self.config['num_blocks']} blocks: "
                "build it with num_blocks of the transformer's last blocks, at most 4."
            )
        if attended[0].shape[1] != math.prod(grid):
            raise ValueError(
                f"attended has {attended[0].shape[1]} tokens but grid {tuple(grid)} needs {math.prod(grid)}."
            )
        logits = sum(readout(states) for readout, states in zip(self.readouts, attended, strict=True))
        logits = (logits / len(attended)).unflatten(2, tuple(self.config["patch_size"])).unflatten(1, tuple(grid))
        return logits.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)


class Step(Protocol):
    """A step of the denoising loop as far as a mask is read from it; see `humo.sampling.StepState`."""

    index: int
    num_steps: int
    sigma: float

    def face_mask(self, focus_head: FaceMaskPredictor) -> Tensor:
        """Probabilities, (b, video frames, rows, columns)."""
        ...


class MaskKeeper:
    """Callback of the denoising loop that keeps one face mask: of the first step at or below `MASK_SIGMA`, or of the
    last step.

    Args:
        focus_head: the head trained beside the transformer.

    Attributes:
        best: the mask, float32 (latent frames, rows, columns); None until there is one.
    """

    def __init__(self, focus_head: FaceMaskPredictor) -> None:
        self.focus_head = focus_head
        self.best: np.ndarray | None = None

    def __call__(self, state: Step) -> None:
        """Read the mask if this is the step."""
        is_last = state.index == state.num_steps - 1
        if self.best is None and (state.sigma <= MASK_SIGMA or is_last):
            self.best = state.face_mask(self.focus_head)[0].cpu().numpy()


def check_masks(name: str, focus_head: FaceMaskPredictor | None, transformer: CacheMixin) -> None:
    """Refuse masks, asked for under a name, that a pipeline's two models cannot tell.

    Raises:
        ValueError: if there is no focus head, or a step cache leaves out blocks that it reads.
    """
    if focus_head is None:
        raise ValueError(f"{name} needs a focus head but this model has none: leave it out.")
    if transformer.is_cache_enabled:
        raise ValueError(f"{name} needs every block of every step: turn the step cache off.")


def face_mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Size-aware binary cross-entropy of the predicted face mask.

    The loss of a frame is scaled by (pixels / face pixels), so that a small face teaches as loudly as a large
    one. Frames without a face are left out: their weight would be infinite.

    Args:
        logits: mean prediction of the last four blocks before the sigmoid, (b, f, h, w).
        target: face mask in {0, 1} on the latent grid, same shape.

    Returns:
        Scalar, float32; 0 where no frame has a face.

    Raises:
        ValueError: if the shapes differ.

    Source: HuMo, Eq. 3 (arXiv 2509.08519). The weight of an empty mask is our choice; the paper does not
    define it.
    """
    _check_same_shape(logits, target)
    target = target.float()
    face_share = target.mean(dim=(-2, -1))
    has_face = face_share > 0
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none").mean(dim=(-2, -1))
    weighted = torch.where(has_face, loss / face_share.clamp_min(torch.finfo(torch.float32).tiny), 0.0)
    return weighted.sum() / has_face.sum().clamp_min(1)


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Mean intersection over union of the predicted mask (probability above one half) over frames with a
    face.

    Args:
        logits: predicted logits, (b, f, h, w).
        target: face mask in {0, 1}, same shape.

    Returns:
        Scalar in [0, 1], float32; 0 where no frame has a face.

    Raises:
        ValueError: if the shapes differ.

    Source: ours; the paper publishes no figure for its masks.
    """
    _check_same_shape(logits, target)
    predicted, actual = logits > 0, target > 0.5
    intersection = (predicted & actual).sum(dim=(-2, -1)).float()
    union = (predicted | actual).sum(dim=(-2, -1)).clamp_min(1).float()
    has_face = actual.any(dim=-1).any(dim=-1)
    return (intersection / union * has_face).sum() / has_face.sum().clamp_min(1)


def _make_readout(dim: int, hidden_dim: int | None, patch_volume: int) -> nn.Sequential:
    if hidden_dim is None:
        return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, patch_volume))
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, patch_volume))


def _check_same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} must have the same shape.")
