"""A small data set in HuMoSet's layout, rendered by the world: `python -m humo.finetuning.dataset.example FOLDER`.

To try the preparation, and to test it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from humo.finetuning.dataset.rows import MASK, REFERENCE, TABLE, VIDEO
from humo.media import write_video
from humo.system.imports import require
from humo.timing import SAMPLE_RATE
from humo.world.clips import Clip, plan_clip, render_clip


def write_example(folder: Path, num_clips: int, num_frames: int = 49, size: int = 128, seed: int = 0) -> list[Clip]:
    """Write clips of talking people with sound, references, captions and exact face masks.

    Args:
        folder: to be made.
        num_clips: how many; clips in which nobody speaks are left out.
        num_frames: of each, at 25 a second.
        size: side of the frames, pixels, even.
        seed: of the first clip.

    Returns:
        What was written: clip i is the row i, with the key "clip-0000i".

    Raises:
        ValueError: if pyarrow is missing.
    """
    clips: list[Clip] = []
    captions: list[str | None] = []
    for name in (VIDEO, REFERENCE, MASK):
        (folder / name).mkdir(parents=True, exist_ok=True)
    while len(clips) < num_clips:
        plan = plan_clip(seed)
        seed += 1
        if not plan.sentence:
            continue
        clip = render_clip(plan, num_frames, size)
        key = f"clip-{len(clips):05d}"
        write_video(folder / VIDEO / f"{key}.mp4", clip.frames, audio=(clip.waveform, SAMPLE_RATE))
        white = np.repeat(255 * clip.face[..., None].astype(np.uint8), 3, axis=-1)
        write_video(folder / MASK / f"{key}.mp4", white)
        Image.fromarray(clip.reference).save(folder / REFERENCE / f"{key}.png")
        captions.append(clip.caption(np.random.default_rng(seed)))
        clips.append(clip)
    write_table(folder, [f"clip-{number:05d}.mp4" for number in range(num_clips)], captions)
    return clips


def write_table(folder: Path, videos: list[str | None], captions: list[str | None]) -> None:
    """Write the table of a data set, in groups of four rows so that streaming has something to stream.

    Args:
        folder: of the data set.
        videos: names under `video/`.
        captions: of the videos.

    Raises:
        ValueError: if pyarrow is missing.
    """
    require("a table of clips", "pyarrow")
    import pyarrow
    from pyarrow.parquet import write_table as write_parquet

    columns = {"video": pyarrow.array(videos, pyarrow.string()), "caption": pyarrow.array(captions, pyarrow.string())}
    write_parquet(pyarrow.table(columns), folder / TABLE, row_group_size=4)


def main(
    folder: Annotated[Path, typer.Argument(help="To be made.")],
    clips: Annotated[int, typer.Option(help="How many.")] = 12,
) -> None:
    """Render talking people into a folder in HuMoSet's layout."""
    write_example(folder, clips)


if __name__ == "__main__":
    typer.run(main)
