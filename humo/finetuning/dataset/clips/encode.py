"""The part of a preparation that needs the model: clips become latents, features and windows' raw material.

Every tensor is what the pipeline itself would compute from the same frames, pictures, words and sound, since the same
functions are called. Each clip is encoded alone, so that its tensors do not depend on its neighbours.
"""

# k latent frames, z latent channels, r references, h w latent grid, m tokens of the caption, c ca channels

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.audio import NUM_BANDS, encode_audio
from humo.finetuning.dataset.clips.examine import Examined
from humo.finetuning.dataset.clips.syncnet import load_syncnet
from humo.finetuning.dataset.dropping import Drop
from humo.finetuning.dataset.settings import PrepareSettings
from humo.pipeline import HuMoPipeline
from humo.references import encode_references, encode_video, to_pixels
from humo.system.fingerprint import fingerprint_components
from humo.timing import SAMPLES_PER_FRAME

CONDITIONERS = ("tokenizer", "text_encoder", "feature_extractor", "audio_encoder", "vae")
"""Components of a pipeline that a preparation uses."""


class ClipEncoder:
    """Encodes clips with the components of a pipeline; the transformer is not used.

    Args:
        pipe: a loaded pipeline.
        settings: of the preparation.
    """

    def __init__(self, pipe: HuMoPipeline, settings: PrepareSettings) -> None:
        self.pipe, self.settings = pipe, settings
        self.dtype = getattr(torch, settings.dtype)
        weights = settings.sync_weights
        self.syncnet = None if weights is None else load_syncnet(weights).to(pipe._execution_device)

    @torch.no_grad()
    def __call__(self, clip: Examined, seconds: dict[str, float] | None = None) -> dict[str, Tensor]:
        """Encode one clip.

        Args:
            clip: with its frames.
            seconds: the time of each part is added to it.

        Returns:
            latents (z, k, h, w), references (z, r, h, w), text (m, c) without its padding, audio (f, 5, ca) at 25 Hz
            with no row for a silent clip, all of the settings' dtype; face (k, h, w) bool. On the CPU.

        Raises:
            Drop: if a value is not finite, in the settings' dtype too, or SyncNet refuses the clip.
        """
        clock = _DeviceClock(self.pipe, seconds)
        self._check_sync(clip)
        clock("sync")
        device = self.pipe._execution_device
        height, width = clip.frames.shape[1:3]
        latents = encode_video(to_pixels(clip.frames).to(device), self.pipe.vae)[0]
        clock("latents")
        pictures = [Image.fromarray(picture) for picture in clip.references]
        references = encode_references(pictures, self.pipe.vae, height, width, device)[0]
        clock("references")
        text = without_padding(self.pipe.encode_prompt(clip.caption)[0])
        clock("text")
        if clip.waveform is None:
            audio = torch.zeros(0, NUM_BANDS, self.pipe.audio_encoder.config.d_model)
        else:
            audio = encode_audio(clip.waveform, self.pipe.feature_extractor, self.pipe.audio_encoder)
        clock("audio")
        tensors = {"latents": latents, "references": references, "text": text, "audio": audio}
        stored = {name: self._stored(name, tensor) for name, tensor in tensors.items()}
        return stored | {"face": torch.from_numpy(clip.face)}

    def warm_up(self) -> None:
        """Encode a small clip: what happens once is not to count among a million."""
        side = self.settings.multiple
        frames = np.zeros((5, side, side, 3), np.uint8)
        sound = np.sin(np.arange(5 * SAMPLES_PER_FRAME, dtype=np.float32))
        self(Examined(0, "", "a person", frames, [frames[0]], sound, np.ones((2, 1, 1), bool)))

    @torch.no_grad()
    def null_text(self) -> Tensor:
        """Features of the empty text, (n, c)."""
        return self._stored("null text", self.pipe.encode_prompt("")[0])

    def is_cut(self, caption: str) -> bool:
        """Whether a caption has more tokens than the model reads."""
        return len(self.pipe.tokenizer(caption).input_ids) > self.pipe.config.max_sequence_length

    def _check_sync(self, clip: Examined) -> None:
        """Adds SyncNet's scores to the clip's."""
        if self.syncnet is None or clip.face_crops is None:
            return
        score = self.syncnet.score(clip.face_crops, clip.waveform)
        clip.scores |= {"sync_c": score.confidence, "sync_d": score.distance, "sync_offset": score.offset}
        if self.settings.min_sync is not None and score.confidence < self.settings.min_sync:
            raise Drop("out of sync", f"Sync-C {score.confidence:.2f}")

    def _stored(self, name: str, tensor: Tensor) -> Tensor:
        tensor = tensor.to("cpu", self.dtype).contiguous()
        if not torch.isfinite(tensor).all():
            raise Drop("not finite", name)
        return tensor


def without_padding(text: Tensor) -> Tensor:
    """Features (n, c) without the zeros after their end, (m, c)."""
    filled = text.ne(0).any(dim=1).nonzero()
    return text[: int(filled[-1]) + 1 if len(filled) else 0]


def describe(pipe: HuMoPipeline) -> dict[str, Any]:
    """What the loader must know of the model: its shapes and its mark."""
    return {
        "fingerprint": fingerprint_components(pipe, CONDITIONERS),
        "spatial_scale": pipe.vae.config.scale_factor_spatial,
        "text_tokens": pipe.config.max_sequence_length,
    }


class _DeviceClock:
    """Adds up the time of each part: on a GPU that of the clock, on a CPU that of all its cores."""

    def __init__(self, pipe: HuMoPipeline, seconds: dict[str, float] | None) -> None:
        self.cuda = pipe._execution_device.type == "cuda"
        self.seconds = {} if seconds is None else seconds
        self.last = self._now()

    def __call__(self, name: str) -> None:
        now = self._now()
        self.seconds[name], self.last = self.seconds.get(name, 0.0) + now - self.last, now

    def _now(self) -> float:
        if not self.cuda:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()
