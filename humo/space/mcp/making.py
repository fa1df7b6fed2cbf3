"""The tools that make videos: from any mix of inputs, from those of each mode, and a dub. Ours."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

from humo.dubbing.shape import MARGIN, Part
from humo.guidance import RULES
from humo.space.api import start_video
from humo.space.jobs.request import MODES, Mode
from humo.space.jobs.task import Result
from humo.space.mcp.call import Answer, Call
from humo.space.mcp.files import find_file
from humo.space.mcp.tool import Arguments, Tool, file, flag, read_flag, text, whole
from humo.space.page.dubbing.tasks import DubClip, Wish
from humo.space.state import Backend
from humo.system.ranges import LARGEST_SEED, SHIFT, short
from humo.timing import FPS

_NAMES = {"TI": "text_image", "TA": "text_audio", "TIA": "text_image_audio"}
"""Of the tools by mode, as of the page's endpoints (`humo.space.api`)."""
_INPUTS = {"TI": "a text and a picture", "TA": "a text and a voice", "TIA": "a text, a picture and a voice"}
_KEEP = "What comes back is AI-generated, and the file says so: give words only to people who agree."


def video_tools(backend: Backend) -> list[Tool]:
    """The tools for a page's model and limits."""
    return [_generate(backend), *(_of_mode(backend, mode) for mode in MODES), _dub(backend)]


def _generate(backend: Backend) -> Tool:
    return Tool(
        name="generate",
        title="Make a talking video",
        description=f"{_about(backend)} From a text, and from a picture and a voice if they are given. {_KEEP}",
        arguments=_arguments(backend, "image", "audio", "seconds"),
        required=("prompt",),
        run=partial(_make, backend, None),
    )


def _of_mode(backend: Backend, mode: Mode) -> Tool:
    inputs = _INPUTS[mode.key]
    needed = [*["image"] * mode.needs_image, *["audio"] * mode.needs_audio]
    length = [] if mode.needs_audio else ["seconds"]  # else it is as long as the voice
    return Tool(
        name=_NAMES[mode.key],
        title=f"Make a video from {inputs}",
        description=f"{_about(backend)} Needs {inputs}. {_KEEP}",
        arguments=_arguments(backend, *needed, *length),
        required=("prompt", *needed),
        run=partial(_make, backend, mode.key),
    )


def _about(backend: Backend) -> str:
    defaults = backend.serving.defaults
    height, width = defaults.size
    who = "of a drawn person, head and shoulders," if defaults.draws_people else "of people"
    return f"Makes a video {who} with {backend.serving.name}: mp4, {width}x{height}, {FPS} frames a second."


def _arguments(backend: Backend, *inputs: str) -> dict[str, Any]:
    """Those of a video, with some of the inputs "image", "audio" and "seconds"."""
    defaults, limits = backend.serving.defaults, backend.admission.limits
    longest = limits.seconds if defaults.max_frames is None else min(limits.seconds, defaults.max_frames / FPS)
    most = min(limits.images, defaults.max_references or limits.images)
    usual = f"{defaults.num_frames / FPS:g} if not given"
    length = f"Of the video; {usual}{', but as long as the voice where there is one' if 'audio' in inputs else ''}."
    cut = defaults.longest_by_sound
    lasts = f"the video lasts as long{'' if cut is None else f', {cut / FPS:g} s at the most'}"
    all_of_them = {
        "prompt": text(limits.prompt, "Who is seen, what they wear, where they are and what they do."),
        "image": file("A picture of the person."),
        "more_images": {
            "type": "array",
            "items": file("A picture."),
            "maxItems": most - 1,
            "description": "Pictures after the first, of other people or things that the text names.",
        },
        "as_is": flag("Show the model a photograph as it is, rather than a drawing of whom it shows."),
        "audio": file(f"The voice that moves the mouth, 0.2 s to {limits.voice_seconds:g} s; {lasts}."),
        "audio_shift": whole(
            *SHIFT, "Milliseconds by which the mouth moves later than the voice is played, earlier below 0.", default=0
        ),
        "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": longest, "description": length},
        "seed": whole(0, LARGEST_SEED, "The same seed makes the same video again; drawn and told if not given."),
        "steps": whole(1, limits.steps, "Denoising steps: more take longer.", defaults.num_inference_steps),
        "guidance": {
            "type": "object",
            "properties": {"rule": {"type": "string", "enum": list(RULES)}},
            "required": ["rule"],
            "default": defaults.guidance,
            "description": "How much text, picture and voice count: a rule, and the scales that differ from its own, "
            'as in {"rule": "constant", "text": 3, "image": 3, "audio": 4}.',
        },
    }
    left_out = {name for name in ("image", "audio", "seconds") if name not in inputs}
    if "image" in left_out or most < 2:
        left_out.add("more_images")
    if "image" in left_out or not defaults.draws_people:
        left_out.add("as_is")
    if "audio" in left_out:
        left_out.add("audio_shift")
    return {name: schema for name, schema in all_of_them.items() if name not in left_out}


async def _make(backend: Backend, mode: str | None, call: Call, given: Arguments) -> Answer:
    read_flag(given, "as_is")
    more = given.get("more_images", [])
    if not isinstance(more, list):
        raise ValueError(f"more_images is {short(more)}: give a list of files.")
    if more and "image" not in given:
        raise ValueError("more_images are given without image: give the first picture there.")
    names = ["image", *(f"image-{number}" for number in range(2, len(more) + 2))] if "image" in given else []
    files = [given["image"], *more] if names else []
    images = [await _find(backend, call, each, name) for each, name in zip(files, names, strict=True)]
    audio = await _find(backend, call, given["audio"], "audio") if "audio" in given else None
    admission, defaults = backend.admission, backend.serving.defaults
    start = partial(start_video, admission, defaults, call.visitor, mode, tuple(images), audio, given)
    return _video(await call.follow(start))


def _dub(backend: Backend) -> Tool:
    async def run(call: Call, given: Arguments) -> Answer:
        clip, audio = [await _find(backend, call, given[name], name) for name in ("clip", "audio")]
        wish = Wish(
            clip=clip,
            audio=audio,
            part=Part.MOUTH,
            margin=100 * MARGIN,
            sides=(0.0, 0.0, 0.0, 0.0),
            hold=read_flag(given, "hold"),
            seed=secrets.randbelow(2**31),
        )
        admission = backend.admission

        def task() -> DubClip:
            return DubClip(wish, admission.manager.new_path(f"humo-dub-{wish.seed}"))

        admission.check_file("clip", clip)
        return _video(await call.follow(lambda: admission.start(call.visitor, wish.request, task)))

    return Tool(
        name="dub",
        title="Give a clip another voice",
        description="Makes the mouth of a clip's speaker anew by another voice; all else stays. The clip has "
        f"{FPS} frames a second and the model's shape, as one that was made here. {_KEEP}",
        arguments={
            "clip": file("The mp4 to dub."),
            "audio": file("The new voice; what is longer than the clip is cut."),
            "hold": flag("Hold the last frame as long as the voice lasts, rather than cut it."),
        },
        required=("clip", "audio"),
        run=run,
    )


def _video(result: Result) -> Answer:
    sound = "with sound" if result.has_sound else "without sound"
    told = f"A video of {result.num_frames} frames, {result.seconds:.2f} s, {sound}, seed {result.seed}."
    facts = {"seed": result.seed, "num_frames": result.num_frames, "seconds": result.seconds}
    return Answer(
        text="\n".join([told, *result.notes]),
        data={**facts, "notes": list(result.notes), "settings": result.settings},
        file=result.path,
    )


async def _find(backend: Backend, call: Call, given: object, name: str) -> Path:
    return await call.run(find_file, given, name, call.folder, backend.admission.manager.quota)
