"""See and hear the world: `python -m humo.world --sheet out.png` draws clips on a page and writes one as a video."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from humo.media import check_video_path
from humo.media.video import check_target
from humo.system.command_line import as_app, run


def world(
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet to draw, a .png.")] = None,
    clip: Annotated[
        Path | None, typer.Option(help="Sample clip to write, an .mp4; with --sheet by default beside it.")
    ] = None,
    examples: Annotated[Path | None, typer.Option(help="Folder for the page's example pictures and voices.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first clip; the others follow it.")] = 8,
    split: Annotated[str, typer.Option(help="train, validation or test (people never trained on).")] = "train",
    size: Annotated[int, typer.Option(min=16, help="Side of the frames, pixels.")] = 128,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each clip, 25 a second.")] = 49,
    clips: Annotated[int, typer.Option(min=1, max=40, help="Rows of the sheet.")] = 6,
) -> None:
    """Draw what the world gives to training."""
    if sheet is None and clip is None and examples is None:
        raise ValueError("nothing is asked for: give --sheet, --clip or --examples.")
    from humo.world.examples import write_examples  # after --help, for drawing compiles first
    from humo.world.sheet import sample_clips, write_sample, write_sheet

    if sheet is not None:
        sheet, clip = check_target(sheet, "sheet", ".png"), clip or sheet.with_suffix(".mp4")
    if clip is not None:
        clip = check_video_path(clip)
        rendered = sample_clips(seed, split, size, clips if sheet else 1, frames)
        if sheet is not None:
            typer.echo(write_sheet(sheet, rendered))
        typer.echo(write_sample(clip, rendered[0]))
    if examples is not None:
        for path in write_examples(examples):
            typer.echo(path)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; arguments and exit code as of `humo.system.command_line.run`."""
    return run(as_app(world), arguments, "python -m humo.world")


if __name__ == "__main__":
    sys.exit(main())
