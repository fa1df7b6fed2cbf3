"""The page's functions for programs: one typed endpoint a mode, and one that takes any mix.

Called with `gradio_client`, or over HTTP as `/gradio_api/call/<name>`. Each tells its steps while it runs and ends
with the video and its settings; a client that goes away stops its job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Job, Phase
from humo.space.jobs.request import MODES, Defaults, VideoRequest, frames_for
from humo.space.jobs.task import MakeVideo
from humo.space.page.events.generating import follow, toasts
from humo.system.ranges import check_whole, short

Answer = tuple[dict[str, Any] | None, dict[str, Any]]
"""The video once it is done, a `FileData` as a dictionary, and what is known: phase and step, at last all settings."""
_TITLES = {mode.key: mode for mode in MODES}


def offer(admission: Admission, defaults: Defaults) -> None:
    """Add the endpoints to the page that is being laid out.

    Args:
        admission: starts the jobs.
        defaults: what is taken where a call leaves something out.
    """

    def run(
        mode: str | None,
        request: gr.Request,
        prompt: str,
        image: FileData | None,
        audio: FileData | None,
        seconds: float | None,
        seed: int | None,
        steps: int | None,
        guidance: dict[str, Any] | None,
        as_is: bool = False,
        audio_shift: int = 0,
        more_images: list[FileData] | None = None,
    ) -> Iterator[Answer]:
        with toasts():
            given = {"prompt": prompt, "seconds": seconds, "seed": seed, "steps": steps, "guidance": guidance}
            given |= {"as_is": as_is, "audio_shift": audio_shift}
            images = _pictures(image, more_images)
            sound = None if audio is None else _path(audio, "audio")
            job = start_video(admission, defaults, request, mode, images, sound, given)
        for progress in follow(job):
            if progress.phase is Phase.DONE:
                result = progress.result
                yield _file(result.path), {**result.settings, "notes": list(result.notes)}
            else:
                yield None, {"phase": progress.phase.value, "step": progress.step, "num_steps": progress.num_steps}

    def text_image(
        prompt: str,
        image: FileData,
        request: gr.Request,
        seconds: float | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance: dict[str, Any] | None = None,
        as_is: bool = False,
        more_images: list[FileData] | None = None,
    ) -> Iterator[Answer]:
        """A video from a text and a reference picture; only these two are needed. A model of drawn people is shown a
        drawing of whom a photograph shows, or with `as_is` the photograph itself; one that takes several pictures, also
        `more_images`."""
        yield from run("TI", request, prompt, image, None, seconds, seed, steps, guidance, as_is, 0, more_images)

    def text_audio(
        prompt: str,
        audio: FileData,
        request: gr.Request,
        seed: int | None = None,
        steps: int | None = None,
        guidance: dict[str, Any] | None = None,
        audio_shift: int = 0,
    ) -> Iterator[Answer]:
        """A video from a text and a voice, as long as the voice. Seed, steps and guidance may be left out; with
        `audio_shift` the mouth moves so many milliseconds later than the voice is played, earlier below 0."""
        yield from run("TA", request, prompt, None, audio, None, seed, steps, guidance, audio_shift=audio_shift)

    def text_image_audio(
        prompt: str,
        image: FileData,
        audio: FileData,
        request: gr.Request,
        seed: int | None = None,
        steps: int | None = None,
        guidance: dict[str, Any] | None = None,
        as_is: bool = False,
        audio_shift: int = 0,
        more_images: list[FileData] | None = None,
    ) -> Iterator[Answer]:
        """A video from a text, a reference picture and a voice. Seed, steps and guidance may be left out."""
        given = (None, seed, steps, guidance, as_is, audio_shift, more_images)
        yield from run("TIA", request, prompt, image, audio, *given)

    def generate(
        prompt: str,
        request: gr.Request,
        image: FileData | None = None,
        audio: FileData | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance: dict[str, Any] | None = None,
        as_is: bool = False,
        audio_shift: int = 0,
        more_images: list[FileData] | None = None,
    ) -> Iterator[Answer]:
        """A video from a text and whatever else is given: picture, voice, both or neither."""
        given = (seconds, seed, steps, guidance, as_is, audio_shift, more_images)
        yield from run(None, request, prompt, image, audio, *given)

    for endpoint in (text_image, text_audio, text_image_audio, generate):
        gr.api(endpoint, concurrency_limit=None)


def start_video(
    admission: Admission,
    defaults: Defaults,
    visitor: gr.Request,
    mode: str | None,
    images: tuple[Path, ...],
    audio: Path | None,
    given: Mapping[str, Any],
) -> Job:
    """Start the job of a video that a program asks for.

    Args:
        admission: starts it.
        defaults: what is taken where something is left out.
        visitor: who asks.
        mode: "TI", "TA" or "TIA", whose inputs must be there; None for any mix.
        images: the first picture, and the others.
        audio: the voice.
        given: prompt; and seconds, seed, steps, guidance, as_is and audio_shift, each of which may be left out or None.

    Raises:
        ValueError: in one sentence, if something is missing or not allowed.
    """
    seconds = given.get("seconds")
    if seconds is not None:
        seconds = admission.limits.check_seconds(seconds)
    own: dict[str, Any] = {"steps": defaults.num_inference_steps, "guidance": defaults.guidance}
    own |= {"as_is": False, "audio_shift": 0}
    if (steps := given.get("steps")) is not None:
        check_whole("steps", steps, 1, admission.limits.steps)
    told = own | {name: value for name, value in given.items() if value is not None}
    height, width = defaults.size
    ask = VideoRequest(
        prompt=given["prompt"],
        images=images,
        audio=audio,
        num_frames=None if seconds is None else frames_for(seconds, defaults.max_frames),
        num_inference_steps=told["steps"],
        guidance=told["guidance"],
        seed=given.get("seed"),
        height=height,
        width=width,
        as_is=told["as_is"],
        audio_shift=told["audio_shift"],
    )
    if mode is not None:
        _TITLES[mode].check(images or None, audio)
    return admission.start(visitor, ask, lambda: MakeVideo(ask, admission.manager.new_path("humo")))


def _file(path: Path) -> dict[str, Any]:
    """A video as programs get it. Gradio completes its `url` only in dictionaries, not in a `FileData`."""
    file = FileData(path=str(path), size=path.stat().st_size, orig_name=path.name, mime_type="video/mp4")
    return file.model_dump()


def _pictures(image: Any, more: Any) -> tuple[Path, ...]:
    if more is not None and not isinstance(more, list):
        raise ValueError(f"more_images is {short(more)}: give a list of files of yours.")
    if more and image is None:
        raise ValueError("more_images are given without image: give the first picture there.")
    first = () if image is None else (_path(image, "image"),)
    return (*first, *(_path(each, "more_images") for each in more or ()))


def _path(file: Any, name: str) -> Path:
    """Where gradio put an upload: it comes as plain data."""
    path = file.get("path") if isinstance(file, dict) else getattr(file, "path", None)
    if not isinstance(path, str) or not path:
        raise ValueError(f"{name} is no uploaded file: give a file of yours.")
    return Path(path)
