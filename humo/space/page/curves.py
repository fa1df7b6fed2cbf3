"""The guidance schedule as a drawing that a slider redraws: weights of the branches, step by step.

SVG and not a picture: it takes the page's own text colour, so that it is read in light and dark, it is sharp at every
size, and it is drawn in milliseconds without torch. The live drawing and the one of a finished video are the same.
Ours.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from humo.explain.schedules import BRANCH_COLOURS, Schedule, schedule
from humo.guidance import Rule, make_rule

WIDTH, HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 28, 2, 16, 36
MAX_STEPS = 200
"""More bars than that are thinner than a pixel."""
_MARKS = {
    "TIA": "",
    "TA": '<path d="M-1 7L7 -1M3 11L11 3" stroke="#fff" stroke-width="1.2"/>',
    "TI": '<path d="M-1 1L7 9M3 -3L11 5" stroke="#fff" stroke-width="1.2"/>',
    "T": '<circle cx="2" cy="2" r="1.1" fill="#fff"/><circle cx="6" cy="6" r="1.1" fill="#fff"/>',
    "I": '<path d="M0 0L8 8M8 0L0 8" stroke="#fff" stroke-width="1"/>',
    "null": '<path d="M0 4H8" stroke="#fff" stroke-width="1.2"/>',
}
"""What is drawn on the colour of a branch, in a square of 8: for who does not see the colours."""
_NUMBERS = itertools.count()
"""Every drawing names its patterns anew: one of the same name in a hidden tab would leave the bars empty."""
_SHOWN = {"T": "text", "I": "picture", "A": "voice"}


def schedule_svg(
    guidance: Mapping[str, Any], steps: int, shift: float = 5.0, has_image: bool = True, has_audio: bool = True
) -> str:
    """The schedule that these settings would give, drawn and in words.

    Args:
        guidance: rule and scales as `humo.guidance.make_rule` reads them.
        steps: of the solver.
        shift: of the schedule of noise, as in the model's scheduler.
        has_image: whether a picture is given.
        has_audio: whether a sound is given.

    Returns:
        HTML: an SVG with a legend and a sentence, or a sentence alone if a value is not possible.
    """
    try:
        if not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"steps is {steps}: choose 1 to {MAX_STEPS}.")
        rule = make_rule(guidance)
        planned = schedule(rule, steps, shift, has_image, has_audio)
    except ValueError as error:
        return _sentence(str(error))
    return draw_schedule(planned, rule)


def _sentence(words: str) -> str:
    return f'<p class="humo-curves-words" role="status">{html.escape(words[:1].upper() + words[1:])}</p>'


def draw_schedule(shown: Schedule, rule: Rule) -> str:
    """A schedule as HTML: drawing, legend, words.

    Args:
        shown: weights, planned or used.
        rule: that they come from; its switch and its end are marked where they matter.
    """
    words, prefix, plot = describe(shown, rule), f"humo-{next(_NUMBERS)}", _Plot.of(shown)
    patterns = "".join(_pattern(name, prefix) for name in shown.branches)
    parts = [_axis(shown, plot), *_bars(shown, plot, prefix), _zero(plot), *_marks(shown, rule, plot)]
    legend = "".join(f"<li>{_swatch(name, prefix)}{html.escape(_meaning(name))}</li>" for name in shown.branches)
    return (
        f'<figure class="humo-curves"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(words)}">'
        f"<defs>{patterns}</defs>{''.join(parts)}</svg>"
        f'<ul aria-label="What each colour shows to the network">{legend}</ul>'
        f'<figcaption class="humo-curves-words">{html.escape(words)}</figcaption></figure>'
    )


def describe(shown: Schedule, rule: Rule) -> str:
    """What the drawing says, in sentences: passes of the network, and where the weights change."""
    steps = len(shown.timesteps)
    words = f"{_count(steps, 'step')}, {_count(shown.passes, 'pass', 'passes')} of the network."
    if not shown.changes:
        reason = _why_no_switch(shown, rule)
        return f"{words} Every step has the same weights{reason}."
    named = _places(shown, rule)
    if len(shown.changes) > max(1, len(named)):
        return f"{words} The weights change with time, at {len(shown.changes)} of {steps} steps."
    before = shown.changes[0]
    place = named[0].words if named else "the change of the weights"
    lie = "One step lies" if before == 1 else f"{before} steps lie"
    if len(named) < 2:
        return f"{words} {lie} before {place}, {steps - before} after it."
    between, last = named[1].step - before, named[1]
    return f"{words} {lie} before {place}, {between} between it and {last.words}, {steps - last.step} after that."


def _why_no_switch(shown: Schedule, rule: Rule) -> str:
    switch = getattr(rule, "switch", None)
    if switch is None or getattr(rule, "early", ()) is None:
        return ""
    before = int((shown.timesteps > switch).sum())
    if before == len(shown.timesteps):
        return f": the switch at timestep {switch:g} comes after the last step"
    if before == 0:
        return f": the switch at timestep {switch:g} comes before the first step"
    return ": on both sides of the switch they are the same here"


@dataclass(frozen=True)
class _Place:
    """A step at which a rule changes the weights, and why."""

    step: int
    label: str
    words: str


def _places(shown: Schedule, rule: Rule) -> list[_Place]:
    """The rule's switch and its end, where the weights change there."""
    places = []
    if (switch := getattr(rule, "switch", None)) is not None:
        before = int((shown.timesteps > switch).sum())
        places.append(_Place(before, f"switch at {switch:g}", f"the switch at timestep {switch:g}"))
    if until := getattr(rule, "until", 0.0):
        before = int((shown.timesteps >= until).sum())
        places.append(_Place(before, f"until {until:g}", f"the end of guidance at timestep {until:g}"))
    return [place for place in places if place.step in shown.changes]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _meaning(name: str) -> str:
    if name == "null":
        return "none: the negative prompt alone"
    things = [_SHOWN[letter] for letter in name]
    return f"{name}: {' + '.join(things)}"


# The drawing: x by step, y by weight


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where steps and weights stand."""

    steps: int
    low: float
    high: float

    @classmethod
    def of(cls, shown: Schedule) -> _Plot:
        above, below = shown.weights.clip(min=0).sum(1).max(), shown.weights.clip(max=0).sum(1).min()
        return cls(len(shown.timesteps), min(0.0, float(below)), max(1.0, float(above)))

    def x(self, step: float) -> float:
        return _LEFT + step / self.steps * (WIDTH - _LEFT - _RIGHT)

    def y(self, weight: float) -> float:
        return _TOP + (self.high - weight) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM)


def _bars(shown: Schedule, plot: _Plot, prefix: str) -> list[str]:
    above, below, paths = [0.0] * plot.steps, [0.0] * plot.steps, []
    gap = min(3.0, 0.16 * plot.x(1) - 0.16 * plot.x(0))
    width = plot.x(1) - plot.x(0) - gap
    for name, weights in zip(shown.branches, shown.weights.T.tolist(), strict=True):
        outline = ""
        for step, weight in enumerate(weights):
            pile = above if weight >= 0 else below
            first, pile[step] = plot.y(pile[step]), pile[step] + weight
            if weight != 0:
                rise = plot.y(pile[step]) - first
                outline += f"M{plot.x(step) + gap / 2:.1f} {first:.1f}h{width:.1f}v{rise:.1f}h{-width:.1f}z"
        paths.append(f'<path class="bar" d="{outline}" fill="url(#{prefix}-{name})"/>')
    return paths


def _axis(shown: Schedule, plot: _Plot) -> str:
    """Lines and numbers of the weights, timesteps under the steps."""
    span, lines = plot.high - plot.low, ""
    every = next(each for each in (0.5, 1, 2, 5, 10, 20, 50, 100, span) if span / each <= 5)
    for number in range(math.ceil(plot.low / every), math.floor(plot.high / every) + 1):
        y = plot.y(number * every)
        lines += f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        lines += f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_minus(number * every)}</text>'
    for step in range(0, plot.steps, -(-plot.steps // 8)):
        x, y = plot.x(step + 0.5), HEIGHT - _BOTTOM + 14
        lines += f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{shown.timesteps[step]:.0f}</text>'
    return (
        f'{lines}<text x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">timestep: noise on the left, '
        'the finished video on the right</text><text x="0" y="9">weight</text>'
    )


def _minus(number: float) -> str:
    return f"{number:g}".replace("-", "\N{MINUS SIGN}")


def _zero(plot: _Plot) -> str:
    return f'<path class="zero" d="M{_LEFT} {plot.y(0):.1f}H{WIDTH - _RIGHT}"/>'


def _marks(shown: Schedule, rule: Rule, plot: _Plot) -> list[str]:
    marks = []
    for place in _places(shown, rule):
        x = plot.x(place.step)
        anchor, away = ("end", -4) if x > WIDTH * 0.7 else ("start", 4)
        marks.append(
            f'<path class="switch" d="M{x:.1f} 2V{HEIGHT - _BOTTOM}"/>'
            f'<text class="switch" x="{x + away:.1f}" y="10" text-anchor="{anchor}">{place.label}</text>'
        )
    return marks


def _pattern(name: str, prefix: str) -> str:
    return (
        f'<pattern id="{prefix}-{name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect width="8" height="8" fill="{BRANCH_COLOURS[name]}"/>{_MARKS[name]}</pattern>'
    )


def _swatch(name: str, prefix: str) -> str:
    """A square of the legend; it holds its pattern itself, for one in a hidden drawing would not show."""
    own = f"{prefix}-key"
    return (
        f'<svg viewBox="0 0 16 16" aria-hidden="true"><defs>{_pattern(name, own)}</defs>'
        f'<rect class="bar" width="16" height="16" fill="url(#{own}-{name})"/></svg>'
    )
