"""What happened inside a finished video: the same request is run again, this time watched.

Nothing is computed or kept before somebody asks, so a video costs nothing more for it. The same seed gives the same
video, and watching changes nothing. What comes back is small and knows no tensors: pictures as WebP, maps in 8 bits,
tables as text, so that a page can keep it and draw from it (`humo.space.inspect.look_inside_view`) without the model.

What a watched run costs on top: a pass of the network per step for the mask, and at each of the steps of
`LOOKED_TIMESTEPS` a pass, one more per sense and one for the sound; then the kept frames of every kept step are
decoded. For mini that makes about three times the time of the video. Ours.
"""

# k kept frames, s kept steps, g side of the mask grid

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from humo.explain.schedules import Schedule
from humo.guidance import Rule, make_rule
from humo.system.threads import adjust_threads
from humo.timing import count_frames, count_latents

if TYPE_CHECKING:
    from humo.explain.figures import ConditionEffects, Trace
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState
    from humo.space.jobs.request import VideoRequest

MAX_STEPS = 16
"""Steps whose pictures and masks are kept; of more steps these are spread evenly."""
MAX_FRAMES = 13
"""Frames that are kept, one to a latent frame: all of two seconds, and spread evenly over a longer video."""
MAX_PIXELS = 40_000
"""Of a kept frame; larger ones are shrunk."""
LOOKED_TIMESTEPS = (990.0, 940.0, 780.0)
"""Where it is asked what each sense does: the steps nearest to them, from the first outlines to the details; at lower
ones there is little left to decide."""
QUALITIES = (90, 60, 30)
"""Of the kept WebP pictures: the first at which one takes no more than `MAX_RATE` bytes a pixel, or the last."""
MAX_RATE = 0.25

Report = Callable[[int, int, str], None]
"""Told what is done, of how much, and what comes next; it may raise `humo.space.jobs.job.Stopped`."""
Film = tuple[bytes, ...]
"""A WebP picture for each kept frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the network answered at one step, with everything shown and with one sense taken away at a time."""

    step: int
    """Counted from 0."""
    timestep: float
    everything: Film
    without: dict[str, Film]
    """Sense ("text", "image", "audio"): the predicted frames without it."""
    change: dict[str, Film]
    """Sense: mean absolute difference per pixel in 255ths of `change_top`, grey."""
    change_top: float
    """The largest of all these differences, in levels of 255."""
    mask: np.ndarray | None
    """Probability of the face in 255ths, (k, g, g) uint8; None where the model has no focus head."""
    change_table: str
    """The same as a table in markdown, over all kept frames."""
    sound: np.ndarray | None
    """What the audio attention adds in each block, as a share of `sound_top`, (blocks, k, rows, columns) uint8; None
    without a sound."""
    sound_top: float
    """The largest share of the state that it adds anywhere in the frames that are looked at."""
    sound_table: str
    """The same as a table in markdown, over all frames that are looked at; empty without a sound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """A generation that was watched."""

    settings: dict[str, Any]
    """As `HuMoPipelineOutput.settings`."""
    schedule: Schedule
    """The weights that were used, of all steps."""
    num_frames: int
    """Of the whole video."""
    num_earlier: int = 0
    """Frames of an earlier video with which it begins; what is kept is of those after them."""
    frame_numbers: tuple[int, ...]
    """Kept frames of the whole video, counted from 0, (k,)."""
    steps: tuple[int, ...]
    """Kept steps, counted from 0, (s,)."""
    frames: np.ndarray
    """The finished video, (k, height, width, 3) uint8."""
    predicted: tuple[Film, ...]
    """The video as it was predicted at each kept step."""
    masks: np.ndarray | None
    """Probability of the face in 255ths, (s, k, g, g) uint8; None where the model has no focus head."""
    looks: tuple[Look, ...]
    """What each sense did, early to late."""

    @property
    def timesteps(self) -> np.ndarray:
        """Of the kept steps, (s,)."""
        return self.schedule.timesteps[list(self.steps)]

    @property
    def rule(self) -> Rule:
        """The guidance rule that was used."""
        return make_rule(self.settings["guidance"])


def look_inside(pipe: HuMoPipeline, request: VideoRequest, report: Report | None = None) -> Inside:
    """Run a request again and watch; of a video that goes on from another one, what is new.

    Args:
        pipe: what made the video.
        request: of the video, with its seed.
        report: told how far it is, before every step and every decoding.

    Returns:
        What was seen.

    Raises:
        ValueError: if the request has no seed, for then it would be another video.
        Stopped: if `report` raised it.
    """
    if request.seed is None:
        raise ValueError("seed is missing: give the one of the finished video, or it would be another one.")
    overlap = request.num_known
    watch = _Watch(request.made_by(pipe), report or _report_nothing, overlap)
    output = request.run(pipe, on_step=watch)
    made, latents = _kept_frames(len(output.frames) + overlap, overlap)
    whole = output.whole().frames
    num_earlier = len(whole) - len(output.frames)
    frame_numbers = tuple(number + num_earlier - overlap for number in made)
    steps = spread(len(watch.trace.timesteps), MAX_STEPS)
    masks = None
    if watch.trace.masks:
        masks = np.stack([_in_8_bits(watch.trace.face_masks[step][latents]) for step in steps])
    return Inside(
        settings=output.settings,
        schedule=watch.trace.schedule,
        num_frames=len(whole),
        num_earlier=num_earlier,
        frame_numbers=frame_numbers,
        steps=steps,
        frames=_shrink(whole[list(frame_numbers)]),
        predicted=watch.decode(steps, made),
        masks=masks,
        looks=tuple(watch.looks),
    )


@dataclass
class _Watch:
    """The callback of a watched run."""

    pipe: HuMoPipeline
    report: Report
    overlap: int
    """Known frames with which what is made begins; they are not looked at."""
    trace: Trace = field(init=False)
    looks: list[Look] = field(default_factory=list)
    looked: set[int] = field(default_factory=set)
    total: int = 0

    def __post_init__(self) -> None:
        from humo.explain.figures import Trace  # torch, which the page opens without

        self.trace = Trace(self.pipe, masks=self.pipe.focus_head is not None)
        self.report(0, 0, "Reading the request again")

    def __call__(self, state: StepState) -> None:
        adjust_threads()
        if state.index == 0:
            self.looked = looked_steps(self.pipe.scheduler.timesteps.tolist()[-state.num_steps :])
            self.total = state.num_steps + min(state.num_steps, MAX_STEPS)
        self.report(state.index + 1, self.total, f"Step {state.index + 1} of {state.num_steps}")
        self.trace(state)
        if state.index in self.looked:
            mask = self.trace.face_masks[-1] if self.trace.masks else None
            self.looks.append(_look(self.pipe, state, mask, self.overlap))

    def decode(self, steps: tuple[int, ...], made: tuple[int, ...]) -> tuple[Film, ...]:
        films = []
        for number, step in enumerate(steps, start=1):
            done = self.total - len(steps) + number
            self.report(done, self.total, f"Decoding what was predicted, {number} of {len(steps)}")
            films.append(_film(self.trace.frames(step, made)))
        return tuple(films)


def looked_steps(timesteps: list[float]) -> set[int]:
    """The steps nearest to `LOOKED_TIMESTEPS`; `timesteps` are those of the steps that are done."""
    return {min(range(len(timesteps)), key=lambda i: abs(timesteps[i] - wanted)) for wanted in LOOKED_TIMESTEPS}


def _look(pipe: HuMoPipeline, state: StepState, mask: np.ndarray | None, overlap: int) -> Look:
    from humo.explain import figures as explain

    asked = pipe, state.noisy, state.timestep, state.conditions
    numbers, latents = _kept_frames(count_frames(state.clean.shape[2]), overlap)
    seen = explain.condition_effects(*asked, wanted=numbers)
    sound, top, table = None, 0.0, ""
    if state.conditions.audio is not None:
        maps = explain.sound_map(*asked)
        new = maps[:, count_latents(overlap) :]
        top, table = float(new.max()), explain.describe_sound_map(new)
        sound = _in_8_bits(maps[:, latents] / (top or 1.0))
    change, change_top = _compact_change(seen)
    return Look(
        step=state.index,
        timestep=state.timestep,
        everything=_film(seen.frames),
        without={name: _film(frames) for name, frames in seen.without.items()},
        change=change,
        change_top=change_top,
        mask=None if mask is None else _in_8_bits(mask[latents]),
        change_table=explain.describe_condition_effects(seen),
        sound=sound,
        sound_top=top,
        sound_table=table,
    )


def _compact_change(seen: ConditionEffects) -> tuple[dict[str, Film], float]:
    """The changes as shares of the largest, and that one."""
    top = max(float(values.max()) for values in seen.change.values())
    return {name: _film(_in_8_bits(values / (top or 1.0))) for name, values in seen.change.items()}, top


# Small


def spread(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` indices, evenly spread, the first and the last among them."""
    return tuple(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())


def _kept_frames(num_frames: int, overlap: int) -> tuple[tuple[int, ...], list[int]]:
    """Which frames are kept, and the latent frame of each: the third of the four that it holds.

    Args:
        num_frames: that are made, 4k+1.
        overlap: of them, known ones at the beginning, which are not kept; 4k+1, or 0 for none.

    Returns:
        Numbers among the frames that are made, and among the latent frames, both counted from 0.
    """
    first = count_latents(overlap)
    latents = [first + each for each in spread(count_latents(num_frames) - first, MAX_FRAMES)]
    return tuple(max(0, 4 * latent - 1) for latent in latents), latents


def _shrink(frames: np.ndarray) -> np.ndarray:
    """Frames (k, height, width[, 3]) uint8 with at most `MAX_PIXELS` each."""
    height, width = frames.shape[1:3]
    if height * width <= MAX_PIXELS:
        return frames
    scale = (MAX_PIXELS / (height * width)) ** 0.5
    size = int(width * scale), int(height * scale)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames])


def _film(frames: np.ndarray) -> Film:
    return tuple(_webp(frame) for frame in _shrink(frames))


def _webp(frame: np.ndarray) -> bytes:
    """A frame (height, width[, 3]) uint8 as a WebP picture."""
    picture = Image.fromarray(frame)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=2)
        if buffer.tell() <= MAX_RATE * picture.width * picture.height:
            break
    return buffer.getvalue()


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    return (values * 255).round().astype(np.uint8)


def _report_nothing(done: int, total: int, words: str) -> None:
    pass
