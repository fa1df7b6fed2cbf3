"""The same request and seed under two guidance schedules, side by side: constant, and changing with time.

The paper argues for guidance that changes with time (sec. 3.4) and shows it once; here anybody may see what it changes.
The constant rule is built from the other one, with the scales that it has after its switch, so that nothing differs but
the early steps. What is compared and how is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from humo.explain.schedules import Schedule, schedule, solver_sigmas
from humo.guidance import NUM_TIMESTEPS, TEXT_DROP, make_rule, scale_at, step
from humo.media import write_video
from humo.space.inspect.look_inside import Report
from humo.space.temporary import made_again
from humo.system.threads import adjust_threads

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.requests.call import HuMoPipelineOutput
    from humo.sampling import StepState
    from humo.space.jobs.request import VideoRequest

SHOWN_SIDE = 512
"""Small videos are enlarged by a whole number up to this many pixels."""
_BAR, _GAP = 40, 8
"""Height of the line with the names and distance between the videos, pixels."""
_NAMES = ("constant", "time-adaptive")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rules to compare, as plain data."""

    constant: dict[str, Any]
    adaptive: dict[str, Any]
    words: str
    """What they are, in a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two videos of one seed."""

    path: Path
    """Both side by side, the constant one on the left, with the sound."""
    pair: Pair
    seed: int
    schedules: tuple[Schedule, Schedule]
    """Weights of the constant and of the time-adaptive one."""
    difference: np.ndarray
    """Mean absolute difference of each frame in levels of 255, (frames,)."""

    @property
    def words(self) -> tuple[str, ...]:
        """What was compared and what came out, in sentences."""
        constant, adaptive = (shown.passes for shown in self.schedules)
        differ = int((~np.isclose(*_aligned(*self.schedules)).all(axis=1)).sum())
        most = int(self.difference.argmax())
        return (
            f"Left the constant schedule, right the time-adaptive one, both with seed {self.seed}. {self.pair.words}",
            f"The weights differ at {differ} of {len(self.schedules[0].timesteps)} steps. The constant one took "
            f"{constant} passes of the network, the time-adaptive one {adaptive}.",
            f"Their frames differ by {self.difference.mean():.1f} of 255 levels per pixel on average, most in frame "
            f"{most + 1} by {self.difference[most]:.1f}. Which is better only your eyes can say.",
        )


def compare(
    pipe: HuMoPipeline, request: VideoRequest, path: Path, report: Report | None = None, pair: Pair | None = None
) -> Comparison:
    """Make a request twice, one after the other.

    Args:
        pipe: makes the videos.
        request: what to make; without a seed one is drawn for both.
        path: the mp4 to write.
        report: told what is done, of how much, and what is going on, after every step; it may raise.
        pair: the rules; by default those of `make_pair`.

    Returns:
        Both videos in one file, with what differs.

    Raises:
        ValueError: if the time-adaptive rule does not change where it is asked, or the request is not possible.
        Stopped: if `report` raised it.
    """
    request = replace(request, is_fast=False)
    pair = pair or make_pair(request.guidance or pipe.config.default_guidance, pipe.config.default_guidance)
    schedules = _schedules(pipe, request, pair)
    takes: list[HuMoPipelineOutput] = []
    for number, guidance in enumerate((pair.constant, pair.adaptive)):
        seed = request.seed if not takes else takes[0].seed
        takes.append(replace(request, guidance=guidance, seed=seed).run(pipe, _telling(report, number)))
    left, right = takes
    settings = {**right.settings, "compared_with": pair.constant}
    write_video(made_again(path), side_by_side(left.frames, right.frames), right.fps, right.audio, settings)
    difference = np.abs(left.frames.astype(np.int16) - right.frames).mean(axis=(1, 2, 3))
    return Comparison(path=path, pair=pair, seed=left.seed, schedules=schedules, difference=difference)


def make_pair(chosen: Mapping[str, Any], own: Mapping[str, Any]) -> Pair:
    """A constant and a time-adaptive rule.

    Args:
        chosen: the rule of a request, as plain data.
        own: the model's own, which stands in where the chosen one does not change with time.

    Raises:
        ValueError: if neither changes with time.
    """
    chosen, own = dict(chosen), dict(own)
    if _changes(chosen):
        constant, source = _made_constant(chosen)
        return Pair(constant, chosen, f"Constant means {source}: {_listed(constant)}.")
    if _changes(own):
        words = f"Constant means your rule: {_listed(chosen)}. Time-adaptive means the model's own rule, {own['rule']}."
        return Pair(chosen, own, words)
    raise ValueError(
        f"Neither your rule {chosen['rule']} nor the model's own changes with time: "
        "choose one with a switch, such as published_17b, to compare."
    )


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two videos beside each other, with their names above.

    Args:
        left: (frames, height, width, 3) uint8.
        right: the same shape.

    Returns:
        (frames, height, width, 3) uint8, enlarged by a whole number where they are small.
    """
    scale = max(1, SHOWN_SIDE // max(left.shape[1:3]))
    height, width = (side * scale for side in left.shape[1:3])
    ground = Image.new("RGB", (2 * width + _GAP, height + _BAR), "#1c1b19")
    draw, font = ImageDraw.Draw(ground), ImageFont.load_default(size=min(22, width // 8))
    for index, name in enumerate(_NAMES):
        middle = index * (width + _GAP) + width // 2, _BAR // 2
        draw.text(middle, name, fill="white", font=font, anchor="mm")
    frames = []
    for pair in zip(left, right, strict=True):
        sheet = ground.copy()
        for index, frame in enumerate(pair):
            enlarged = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(enlarged, (index * (width + _GAP), _BAR))
        frames.append(np.asarray(sheet))
    return np.stack(frames)


# Rules


def _changes(guidance: Mapping[str, Any]) -> bool:
    """Whether a rule with everything given changes anywhere on its way, before it ends."""
    rule = make_rule(_without_end(guidance))
    every = [rule(timestep) for timestep in np.linspace(NUM_TIMESTEPS, 0, 101)]
    return any(weights != every[0] for weights in every)


def _without_end(guidance: Mapping[str, Any]) -> dict[str, Any]:
    """A rule that acts to the end: where both end, nothing differs."""
    return {name: value for name, value in guidance.items() if name != "until"}


def _made_constant(guidance: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The constant rule of one that changes with time, and in words where its scales come from."""
    rule = make_rule(guidance)
    names = [name for name in ("text", "image", "audio") if hasattr(rule, name)]
    scales = {name: _late(getattr(rule, name)) for name in names}
    is_ramp = any(callable(getattr(rule, name)) and not isinstance(getattr(rule, name), step) for name in names)
    source = "the scales in the middle of its way" if is_ramp else "the scales after its switch throughout"
    if guidance["rule"] == "published_1_7b":
        return {"rule": "published_1_7b", **scales}, source
    if guidance["rule"] == "published_17b":  # from its switch on: 0 to TI by text - 2, then TIA
        scales = {"text": scales["text"] - TEXT_DROP, "image": scales["text"] - TEXT_DROP, "audio": scales["audio"]}
    end = {"until": guidance["until"]} if guidance.get("until") else {}
    return {"rule": "constant", **scales, **end}, source


def _late(scale: Any) -> float:
    return scale.late if isinstance(scale, step) else scale_at(scale, NUM_TIMESTEPS / 2)


def _listed(guidance: Mapping[str, Any]) -> str:
    rule, names = make_rule(guidance), {"text": "text", "image": "picture", "audio": "voice"}
    listed = (f"{thing} {_late(getattr(rule, name)):g}" for name, thing in names.items() if hasattr(rule, name))
    return ", ".join(listed)


def _schedules(pipe: HuMoPipeline, request: VideoRequest, pair: Pair) -> tuple[Schedule, Schedule]:
    """Both schedules as they will be, of the steps that will be done.

    Raises:
        ValueError: if there is nothing to compare.
    """
    steps = request.num_inference_steps or pipe.config.default_num_inference_steps
    given = steps, pipe.scheduler.config.flow_shift, bool(request.images), request.audio is not None
    constant, adaptive = (schedule(make_rule(guidance), *given) for guidance in (pair.constant, pair.adaptive))
    without_end = schedule(make_rule(_without_end(pair.adaptive)), *given)
    if not without_end.changes:
        raise ValueError(
            f"With {steps} steps and what is given the rule {pair.adaptive['rule']} does not change with time: "
            "move its switch, take more steps, or give a picture and a voice, so that there is something to compare."
        )
    first = _first_step(request, steps, given[1])
    if not without_end.begun_at(first).changes:
        raise ValueError(
            f"This video begins with known frames at timestep {adaptive.timesteps[first]}, and from there on the rule "
            f"{pair.adaptive['rule']} does not change with time: move its switch below that and make the video anew, "
            "so that there is something to compare."
        )
    return constant.begun_at(first), adaptive.begun_at(first)


def _first_step(request: VideoRequest, steps: int, shift: float) -> int:
    """Number of the first step that is done: of a video that begins with known frames not that at the most noise."""
    if request.start_sigma == 1:
        return 0
    from humo.known.latents import first_step  # with PyTorch, which the page's start does not wait for

    return first_step(solver_sigmas(steps, shift).tolist(), request.start_sigma)


def _aligned(one: Schedule, other: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """The weights of both in the same columns, (steps, branches) each."""
    names = sorted({*one.branches, *other.branches})
    tables = [np.zeros((len(one.timesteps), len(names))) for _ in range(2)]
    for table, shown in zip(tables, (one, other), strict=True):
        table[:, [names.index(name) for name in shown.branches]] = shown.weights
    return tables[0], tables[1]


def _telling(report: Report | None, number: int) -> Callable[[StepState], None] | None:
    if report is None:
        return None

    def on_step(state: StepState) -> None:
        adjust_threads()
        done = number * state.num_steps + state.index + 1
        report(done, 2 * state.num_steps, f"{_NAMES[number]}: step {state.index + 1} of {state.num_steps}")

    return on_step
