"""`python -m humo dub`: another voice for a clip, from the command line."""

from __future__ import annotations

import gc
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from humo.dubbing.shape import Part, Shape
from humo.media import check_video_path, read_sound, write_video
from humo.media.video import check_target
from humo.system.command_line import check_given, check_room, silence_libraries
from humo.system.imports import quick_imports
from humo.system.ranges import check_seed
from humo.system.threads import adjust_threads, begin_threads

if TYPE_CHECKING:
    from humo.sampling import StepState


def dub_command(
    clip: Annotated[Path, typer.Argument(help="An MP4 or WebM of 25 frames a second, in the model's shape.")],
    audio: Annotated[Path | None, typer.Option(help="The new voice.")] = None,
    out: Annotated[Path, typer.Option(help="The mp4 to write.")] = Path("dubbed.mp4"),
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture of the clip's size, white where it is made anew; default: the mouth is found."),
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Pixels of the clip by which the found region grows.")] = None,
    part: Annotated[Part, typer.Option(help="How much of the face is made anew.")] = Part.MOUTH,
    find: Annotated[
        Path | None,
        typer.Option(
            help="Only find the region and write it as this PNG, to be corrected and given as --mask, and as an mp4 of "
            "the same name, laid over the clip."
        ),
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Hold the last frame under a longer voice.")] = False,
    prompt: Annotated[str | None, typer.Option(help="What is seen; default: a person talks.")] = None,
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B or a folder.")] = "mini",
    fast: Annotated[bool, typer.Option("--fast", help="The model's fast form: one pass a step, few steps.")] = False,
    memory: Annotated[str | None, typer.Option(help="Make do with a GPU of this size, as of `generate`.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Drawn and told if not given.")] = None,
    lossless: Annotated[
        bool,
        typer.Option("--lossless", help="Keep the pixels outside to the bit in the file too; fewer players show it."),
    ] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Take any clip, also one that shows no drawn person.")] = False,
) -> None:
    """Give a clip another voice: within a region around the mouth it is made anew, all else stays as it is."""
    check_room(check_video_path(out).parent)
    check_given(clip, "clip")
    check_given(mask, "mask")
    if audio is None:
        raise ValueError("No voice is given: add --audio with a sound in which somebody says the new words.")
    if find is not None:
        check_target(find, "region", ".png")
    if seed is not None:
        check_seed(seed)
    sound = read_sound(audio)
    with quick_imports():
        from humo.checkpoints import load  # this takes seconds, and a wrong call is refused before
        from humo.dubbing.clip import read_clip_to_dub
        from humo.dubbing.dub import dub, find_region
        from humo.dubbing.region import read_mask
    gc.freeze()
    silence_libraries()
    pipe = load(preset, memory=memory, fast=fast)
    begin_threads()
    read = read_clip_to_dub(clip, pipe.config, pipe.size_multiple, as_is)
    shape = Shape(part=part, margin=margin).check(read.frames.shape[1])
    if find is not None:
        _write_region(find, *find_region(pipe, read, sound, shape, hold, as_is))
        return
    painted = None if mask is None else read_mask(mask, *read.frames.shape[:3])
    with tqdm(unit="step", desc="dubbing", file=sys.stderr) as bar:
        video = dub(
            pipe,
            read,
            sound,
            prompt,
            painted,
            shape,
            hold,
            num_inference_steps=steps,
            seed=seed,
            on_step=partial(_advance, bar),
            as_is=as_is,
        )
    write_video(out, video.frames, video.fps, video.audio, video.settings, lossless=lossless)
    for note in video.notes:
        typer.echo(note, err=True)
    typer.echo(f"{out}: {len(video.frames)} frames, {len(video.frames) / video.fps:.2f} s, seed {video.seed}")


def _write_region(path: Path, clip: Any, region: Any) -> None:
    """The region as a mask, and as a video that shows it over the clip."""
    from humo.explain.regions import show_region

    region.union().save(path)
    shown = path.with_suffix(".mp4")
    write_video(shown, show_region(clip.frames, region))
    share = float(region.inside.mean())
    typer.echo(f"{path}: {share:.0%} of the clip would be made anew; {shown.name} shows where")


def _advance(bar: tqdm, state: StepState) -> None:
    adjust_threads()
    bar.total = state.num_steps
    bar.update()
