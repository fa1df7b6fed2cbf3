"""`python -m humo generate`: one video from the command line, with the page's defaults."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from humo.media import check_video_path
from humo.space.request import Defaults, VideoRequest

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState

Scale = Annotated[float | None, typer.Option(help="Guidance; default: the model's own.")]


def generate(
    prompt: Annotated[str, typer.Option(help="Who is seen and what happens.")],
    out: Annotated[Path, typer.Option(help="The mp4 to write.")] = Path("out.mp4"),
    image: Annotated[list[Path] | None, typer.Option(help="A picture of the person; may be repeated.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A voice; the video lasts as long as it.")] = None,
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B or a folder.")] = "mini",
    frames: Annotated[int | None, typer.Option(help="4k+1 frames at 25 a second.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Drawn and told if not given.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What shall not be seen.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    text_scale: Scale = None,
    image_scale: Scale = None,
    audio_scale: Scale = None,
    switch: Annotated[float | None, typer.Option(help="Timestep at which early scales end.")] = None,
    enlarge: Annotated[int, typer.Option(help="Whole number by which the pictures are enlarged.", min=1)] = 1,
) -> None:
    """Make a video from text, pictures and sound, any of the last two left out at will."""
    check_video_path(out)
    pipe = _load(preset)
    scales = {"text": text_scale, "image": image_scale, "audio": audio_scale, "switch": switch}
    request = VideoRequest(
        prompt=prompt,
        images=tuple(image or ()),
        audio=audio,
        num_frames=frames,
        num_inference_steps=steps,
        guidance=Defaults.of_config(pipe.config).with_scales(**scales),
        seed=seed,
        negative_prompt=negative_prompt,
        height=height,
        width=width,
    )
    with tqdm(unit="step", desc="generating", file=sys.stderr) as bar:

        def show(state: StepState) -> None:
            bar.total = state.num_steps
            bar.update()

        video = request.run(pipe, on_step=show)
    video.save(out, enlarge)
    for note in video.notes:
        typer.echo(note, err=True)
    typer.echo(f"{out}: {len(video.frames)} frames, {len(video.frames) / video.fps:.2f} s, seed {video.seed}")


def _load(preset: str) -> HuMoPipeline:
    """The pipeline, without the libraries' own progress bars."""
    import diffusers  # these take seconds, and a wrong call is refused before
    import transformers

    from humo.checkpoints import load

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return load(preset)
