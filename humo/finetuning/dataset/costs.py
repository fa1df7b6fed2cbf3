"""What a prepared clip takes on the disk, from its shape: `python -m humo.finetuning.dataset.costs`.

The hours cannot be told from shapes; report.md tells them from the rates of a run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from humo.finetuning.dataset.report import MILLION
from humo.timing import count_latents

DTYPE_BYTES = {"float16": 2, "float32": 4}
Z_DIM, SPATIAL_SCALE, TEXT_DIM, AUDIO_DIM = 16, 8, 4096, 1280
"""Of the published models: Wan's codec, UMT5-XXL, Whisper large-v3."""


def bytes_of_clip(
    num_frames: int, height: int, width: int, text_tokens: int, references: int = 1, z_dim: int = Z_DIM,
    scale: int = SPATIAL_SCALE, text_dim: int = TEXT_DIM, audio_dim: int = AUDIO_DIM, dtype: str = "float16",
) -> dict[str, int]:  # fmt: skip
    """Bytes of each tensor that `humo.finetuning.dataset.clips.encode.ClipEncoder` stores.

    Args:
        num_frames: of the video, 4k + 1.
        height: pixels.
        width: pixels.
        text_tokens: of the caption.
        references: pictures.
        z_dim: channels of the codec.
        scale: pixels a side of a latent.
        text_dim: channels of the text encoder.
        audio_dim: channels of the audio encoder.
        dtype: "float16" or "float32".

    Returns:
        Bytes by name.
    """
    size = DTYPE_BYTES[dtype]
    grid = (height // scale) * (width // scale)
    latents = count_latents(num_frames)
    return {
        "latents": size * z_dim * latents * grid,
        "references": size * z_dim * references * grid,
        "text": size * text_tokens * text_dim,
        "audio": size * num_frames * 5 * audio_dim,
        "face": latents * grid,
    }


def main(
    num_frames: Annotated[int, typer.Option(help="Frames of a clip, 4k+1.")] = 97,
    height: Annotated[int, typer.Option(help="Pixels.")] = 480,
    width: Annotated[int, typer.Option(help="Pixels.")] = 832,
    text_tokens: Annotated[int, typer.Option(help="Tokens of a caption, up to 512.")] = 200,
) -> None:
    """Tell what a million clips take when prepared for the published models."""
    parts = bytes_of_clip(num_frames, height, width, text_tokens)
    for name, value in (*parts.items(), ("together", sum(parts.values()))):
        typer.echo(f"{name:<12}{value:>12,} bytes a clip {value * MILLION / 1e12:>8.2f} TB a million")


if __name__ == "__main__":
    typer.run(main)
