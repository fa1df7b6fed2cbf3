"""The small video codec of mini: a linear encoder of blocks and a learned decoder, behind AutoencoderKLWan's interface.

Why not the stock class: on two CPU cores this one trains three times and decodes four times faster at better quality,
and its latents are fixed before the decoder is trained. The encoder is a weighted principal component analysis of
blocks of 4 frames x 16 x 16 pixels (taken at half resolution). The decoder sees neighbouring blocks in space and time;
the inverse of the linear encoder only gives it a sketch at half resolution to look at, which makes it learn ten times
faster, and never goes to the pixels directly, where it would show the transformer's errors as blocky grain. Ours.

Legend: b batch, f frames, k latent frames, h w pixels, c latent channels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import AutoencoderMixin, DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

sys.modules["humo.codec"] = sys.modules[__name__]  # as folders name it that were saved before this file moved

TIME, SPACE = 4, 16  # frames and pixels that one latent stands for
CHUNK = 16
"""Frames that are drawn at a time: what they need stays in a processor's cache."""


class ExactLatents:
    """A distribution without spread, so that callers written for AutoencoderKLWan need no other path."""

    def __init__(self, latents: Tensor) -> None:
        self._latents = latents

    def mode(self) -> Tensor:
        """The latents, (b, c, k, h/16, w/16)."""
        return self._latents

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The same latents: encoding is exact."""
        return self._latents


class BlockComponents(nn.Conv3d):
    """The linear encoder and its inverse; both are its forward, at which offloading brings the weights."""

    def forward(self, x: Tensor, is_inverse: bool = False) -> Tensor:
        """Half-size videos (b, 3, 4k, 8h, 8w) to components (b, c, k, h, w), or back."""
        x = x.to(self.weight.dtype)
        if not is_inverse:
            return super().forward(x)
        centred = x - self.get_parameter("bias").view(1, -1, 1, 1, 1)
        return F.conv_transpose3d(centred, self.weight, stride=self.stride)


class ResidualBlock(nn.Module):
    """Two 3-wide convolutions around a SiLU; the second starts at zero, so that no normalisation is needed.

    Args:
        channels: in and out.
        dims: 2 for pictures (b, c, h, w), 3 for videos (b, c, k, h, w).
    """

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if dims == 3 else nn.Conv2d
        self.conv1 = convolution(channels, channels, 3, padding=1)
        self.conv2 = convolution(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class PixelDecoder(nn.Module):
    """Latents to pixels: blocks over space and time, then frame by frame in four doublings of the resolution.

    Args:
        latent_channels: c.
        widths: channels at latent resolution (in 3D), then after 0, 1, 2 and 3 doublings.
        depths: residual blocks at each of the five places.
    """

    def __init__(self, latent_channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_in = nn.Conv3d(latent_channels, widths[0], 3, padding=1)
        self.mix = nn.ModuleList(ResidualBlock(widths[0], 3) for _ in range(depths[0]))
        self.to_frames = nn.Conv3d(widths[0], TIME * widths[1], 1)
        self.look = nn.Conv2d(3, widths[4], 3, padding=1)
        self.stages = nn.ModuleList()
        self.doublings = nn.ModuleList()
        for level in range(1, 5):
            self.stages.append(nn.ModuleList(ResidualBlock(widths[level], 2) for _ in range(depths[level])))
            wider = 4 * (widths[level + 1] if level < 4 else 3)
            self.doublings.append(nn.Conv2d(widths[level], wider, 1 if level < 4 else 3, padding=0 if level < 4 else 1))

    def forward(self, latents: Tensor, sketch: Tensor) -> Tensor:
        """Latents (b, c, k, h, w) and a sketch (b, 3, 4k, 8h, 8w) of the video -> (b, 3, 4k, 16h, 16w)."""
        return self.draw(self.mix_time(latents), sketch.transpose(1, 2))

    def use_channels_last(self) -> None:
        """Lay the weights of what works frame by frame as a CPU reads them."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def mix_time(self, latents: Tensor) -> Tensor:
        """What looks at several frames, at latent resolution: (b, c, k, h, w) -> (b, 4k, c, h, w)."""
        hidden = self.conv_in(latents.to(self.conv_in.weight.dtype))
        for block in self.mix:
            hidden = block(hidden)
        hidden = self.to_frames(hidden).unflatten(1, (TIME, -1))  # (b, 4, c, k, h, w)
        return hidden.permute(0, 3, 1, 2, 4, 5).flatten(1, 2)

    def draw(self, hidden: Tensor, sketch: Tensor) -> Tensor:
        """What works frame by frame: (b, f, c, h, w) and a sketch (b, f, 3, 8h, 8w) -> (b, 3, f, 16h, 16w)."""
        num_videos = len(hidden)
        hidden = hidden.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for level, (blocks, double) in enumerate(zip(self.stages, self.doublings, strict=True)):
            if level == 3:
                hidden = hidden + self.look(sketch.flatten(0, 1).to(hidden.dtype))
            for block in blocks.children():
                hidden = block(hidden)
            hidden = F.pixel_shuffle(double(hidden), 2)
        return hidden.unflatten(0, (num_videos, -1)).transpose(1, 2)


class HuMoVideoCodec(ModelMixin, AutoencoderMixin, ConfigMixin):
    """Videos in -1..1 to latents and back, 4 frames x 16 x 16 pixels to one vector.

    The first frame stands alone, as in AutoencoderKLWan: it is repeated to a group of four, so that a picture and a
    still video have the same latents.

    `encode`, `decode` and `decode_stream` bring it to where it computes under `enable_model_cpu_offload`, as `forward`
    does of other models.

    Args:
        z_dim: latent channels c.
        latents_mean: of each channel; as in AutoencoderKLWan, the caller normalises with it.
        latents_std: scale of each channel.
        widths: channels of the decoder, see `PixelDecoder`.
        depths: residual blocks of the decoder.
    """

    _keep_in_fp32_modules = ["components"]  # what pictures are encoded by, and sketched; it takes no time
    _group_offload_block_modules = ["components", "decoder", "conv_in", "to_frames", "look", "stages"]

    @register_to_config
    def __init__(
        self,
        z_dim: int = 96,
        latents_mean: list[float] | None = None,
        latents_std: list[float] | None = None,
        widths: tuple[int, ...] = (192, 128, 96, 64, 32),
        depths: tuple[int, ...] = (2, 1, 1, 1, 1),
        scale_factor_temporal: int = TIME,
        scale_factor_spatial: int = SPACE,
    ) -> None:
        super().__init__()
        if latents_mean is None or latents_std is None:
            self.register_to_config(latents_mean=[0.0] * z_dim, latents_std=[1.0] * z_dim)
        block = (TIME, SPACE // 2, SPACE // 2)
        self.components = BlockComponents(3, z_dim, block, stride=block)
        self.decoder = PixelDecoder(z_dim, tuple(widths), tuple(depths))

    @property
    def dtype(self) -> torch.dtype:
        """Of pixels and latents; the decoder may compute in a narrower one, and rounds what it draws to it."""
        return self.components.weight.dtype

    @apply_forward_hook
    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | Any:
        """Encodes videos.

        Args:
            x: (b, 3, f, h, w) in -1..1; f = 4k+1, h and w multiples of 16.
            return_dict: whether to wrap the result.

        Returns:
            Output whose `latent_dist.mode()` is (b, c, k+1, h/16, w/16), not normalised.

        Raises:
            ValueError: if the shape does not fit.
        """
        frames, height, width = x.shape[2:]
        if frames % TIME != 1 or height % SPACE or width % SPACE:
            raise ValueError(
                f"the video is {frames} frames of {height}x{width}: use 4k+1 frames and sides that are multiples of 16."
            )
        x = torch.cat([x[:, :, :1].expand(-1, -1, TIME - 1, -1, -1), x], dim=2)
        half = F.avg_pool3d(x.float(), (1, 2, 2))  # which a CPU has for float32 alone
        latents = ExactLatents(self.components(half))
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    @apply_forward_hook
    def decode(self, z: Tensor, return_dict: bool = True, frames: Sequence[int] | None = None) -> DecoderOutput | Any:
        """Decodes latents.

        Args:
            z: (b, c, k+1, h, w), not normalised.
            return_dict: whether to wrap the result.
            frames: those of the 4k+1 that are wanted, counted from 0; None for all. A few take a fraction of the time.

        Returns:
            Output whose `sample` is (b, 3, 4k+1 or the wanted, 16h, 16w), about -1..1.
        """
        video = torch.cat(list(self.decode_stream(z, frames=frames)), dim=2)
        return DecoderOutput(sample=video) if return_dict else (video,)

    @apply_forward_hook
    def decode_stream(self, z: Tensor, chunk: int = CHUNK, frames: Sequence[int] | None = None) -> Iterator[Tensor]:
        """Decodes latents in a stream: the first frames are there before the last ones are begun.

        Args:
            z: (b, c, k+1, h, w), not normalised.
            chunk: frames at a time.
            frames: those of the 4k+1 that are wanted, counted from 0; None for all.

        Yields:
            (b, 3, up to `chunk`, 16h, 16w); together they are what `decode` returns.
        """
        hidden, sketch = self.decoder.mix_time(self.normalize(z)), self.sketch(z).transpose(1, 2)
        wanted = slice(TIME - 1, None) if frames is None else [TIME - 1 + frame for frame in frames]
        parts = (whole[:, wanted].split(chunk, dim=1) for whole in (hidden, sketch))
        for part in zip(*parts, strict=True):
            yield self.decoder.draw(*part)

    def sketch(self, z: Tensor) -> Tensor:
        """The video at half resolution by the inverse of the linear encoder, (b, 3, 4k, 8h, 8w) for (b, c, k, h, w)."""
        return self.components(z, is_inverse=True)

    def normalize(self, latents: Tensor) -> Tensor:
        """Raw latents to zero mean and unit scale, the form that the transformer sees, (b, c, k, h, w)."""
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    def denormalize(self, latents: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        mean, std = self._statistics(latents)
        return latents * std + mean

    def _statistics(self, like: Tensor) -> list[Tensor]:
        return [
            torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
            for values in (self.config["latents_mean"], self.config["latents_std"])
        ]
