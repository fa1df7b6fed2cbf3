"""Classifier-free guidance as data: a rule maps a timestep to the weight of every branch.

Every published formula is v = sum of w_i * v(branch_i) with weights that sum to 1, where a branch says which
of text, picture and sound the network is shown and which are replaced by their nulls. Branches of weight
zero are left out, so they are never run. The loop, the page and the lessons read the same object.

The rules side by side; 0 is the branch with every null, t, i and a are the scales of text, picture and sound:

| rule | chain of branches | weights of TIA, TI, TA, T, I, 0 | scales | passes |
|---|---|---|---|---|
| `published_17b`, above the switch | I, TI, TIA | a, t - a, -, -, 1 - t, - | t 5, a 5.5 | 3 |
| `published_17b`, from 980 on | 0, TI, TIA | a, t - 2 - a, -, -, -, 3 - t | t 5, a 5.5 | 3 |
| `published_1_7b` | 0, T, TA, TIA | i, -, a - i, t - a, -, 1 - t | t 7.5, a 7.5, i 4 | 4 |
| `paper`, `constant` | 0, T, TI, TIA | a, i - a, -, t - i, -, 1 - t | not published | 4 |

What the order of a chain decides: a term compares with all that stands before it, so the released 1.7B judges the
picture given the sound, and the paper the sound given the picture. `paper` may change its scales at the switch (the
paper's time-adaptive guidance); `constant` is the same without a switch, to compare with. A condition that is absent
takes its term with it, which makes TI and T work although the release has neither.

`paper` and `constant` can stop early: below the timestep `until` no guidance acts, and a step is one pass (Kynkäänniemi
et al., arXiv 2404.07724: guidance in a limited interval). What is seen is decided by then, and scales above 1 only
roughen edges and walls.

Time is diffusers' everywhere: timestep 1000 (sigma 1) is noise. The paper's Eq. 1 runs the other way, with
noise at 0, although its "from 1.0 to 0.98" for the early steps means ours.

Source: HuMo sec. 3.4, Eq. 4 (arXiv 2509.08519) and the released code (`generate.py`, `generate_1_7B.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from humo.system.ranges import SCALES, TIMESTEPS, check_number, short

NUM_TIMESTEPS = 1000.0
PLACES = ("switch", "until")
"""Numbers of a rule that are timesteps; all others are scales."""
FIRST_SIGMA = 0.999
"""Noise level of the first step before the shift, as released."""
TEXT_DROP = 2.0
"""By how much the released 17B rule lowers the text scale from the switch on."""


@dataclass(frozen=True, order=True)
class Branch:
    """Which conditions one pass of the network sees; the others are null."""

    text: bool = False
    """The prompt; otherwise the negative prompt."""
    image: bool = False
    """The reference pictures."""
    audio: bool = False
    """The sound."""

    @property
    def name(self) -> str:
        """Letters of the conditions in the order T, I, A: "TIA", "TA", "I", or "null"."""
        letters = zip("TIA", (self.text, self.image, self.audio), strict=True)
        return "".join(letter for letter, is_shown in letters if is_shown) or "null"


Weights = dict[Branch, float]


@dataclass(frozen=True)
class step:  # noqa: N801 (reads as a function of the timestep)
    """A scale that is `early` above the timestep `switch` and `late` from there on (as published)."""

    early: float
    late: float
    switch: float = 980.0

    def __call__(self, timestep: float) -> float:
        """The scale at a timestep in [0, 1000]."""
        return self.early if timestep > self.switch else self.late


@dataclass(frozen=True)
class linear:  # noqa: N801
    """A scale that goes in a straight line from `early` at timestep 1000 to `late` at 0 (ours)."""

    early: float
    late: float

    def __call__(self, timestep: float) -> float:
        """The scale at a timestep in [0, 1000]."""
        return self.late + (self.early - self.late) * timestep / NUM_TIMESTEPS


@dataclass(frozen=True)
class cosine:  # noqa: N801
    """A scale that goes in half a cosine wave from `early` at timestep 1000 to `late` at 0 (ours)."""

    early: float
    late: float

    def __call__(self, timestep: float) -> float:
        """The scale at a timestep in [0, 1000]."""
        share = (1 - math.cos(math.pi * timestep / NUM_TIMESTEPS)) / 2
        return self.late + (self.early - self.late) * share


Scale = float | Callable[[float], float]
"""A number, or a function of the timestep; never of the step's number, which means little on its own."""


def scale_at(scale: Scale, timestep: float) -> float:
    """The value of a scale at a timestep."""
    return float(scale(timestep) if callable(scale) else scale)


def telescope(chain: list[tuple[Branch, float]]) -> Weights:
    """Weights of a chain of guidance terms.

    v = v(b_0) + s_1 [v(b_1) - v(b_0)] + s_2 [v(b_2) - v(b_1)] + ...

    Args:
        chain: branches b_0, b_1, ... with their scales; the first scale is not used, for its branch counts
            whole.

    Returns:
        Weight per branch, zero weights removed; they sum to 1.
    """
    scales = [1.0, *(scale for _, scale in chain[1:]), 0.0]
    weights: Weights = {}
    for index, (branch, _) in enumerate(chain):
        weights[branch] = weights.get(branch, 0.0) + scales[index] - scales[index + 1]
    return {branch: weight for branch, weight in weights.items() if weight != 0}


_NULL, _TEXT, _IMAGE = Branch(), Branch(text=True), Branch(image=True)
_TEXT_IMAGE, _TEXT_AUDIO = Branch(text=True, image=True), Branch(text=True, audio=True)
_ALL = Branch(text=True, image=True, audio=True)


@dataclass(frozen=True)
class published_17b:  # noqa: N801
    """The released 17B rule: above the switch the negative keeps the picture, from it on it does not.

    Above: v = v(I) + text [v(TI) - v(I)] + audio [v(TIA) - v(TI)].
    From the switch on: v = v(0) + (text - 2) [v(TI) - v(0)] + audio [v(TIA) - v(TI)].
    Without a picture there is no switch and the text keeps its scale; without sound the audio term vanishes.
    The paper's Eq. 4 has one term per condition and four passes; the released code has these three.

    Source: released code `generate.py::forward_tia` and `forward_ta`; TI is ours, for the release refuses it.
    """

    text: Scale = 5.0
    audio: Scale = 5.5
    switch: float = 980.0

    def __call__(self, timestep: float, has_image: bool = True, has_audio: bool = True) -> Weights:
        """Weights at a timestep in [0, 1000] for the conditions that are present."""
        text, audio = scale_at(self.text, timestep), scale_at(self.audio, timestep)
        is_early = timestep > self.switch
        if has_image:
            negative, text = (_IMAGE, text) if is_early else (_NULL, text - TEXT_DROP)
            chain = [(negative, 1.0), (_TEXT_IMAGE, text), (_ALL, audio)]
        else:
            chain = [(_NULL, 1.0), (_TEXT, text), (_TEXT_AUDIO, audio)]
        return telescope(chain if has_audio else chain[:-1])


@dataclass(frozen=True)
class published_1_7b:  # noqa: N801
    """The released 1.7B rule: v = v(0) + text [v(T) - v(0)] + audio [v(TA) - v(T)] + image [v(TIA) - v(TA)].

    Its order is text, sound, picture, unlike the paper's Eq. 4. An absent condition takes its term with it.

    Source: released code `generate_1_7B.py`; TI is ours, for the release refuses it.
    """

    text: Scale = 7.5
    audio: Scale = 7.5
    image: Scale = 4.0

    def __call__(self, timestep: float, has_image: bool = True, has_audio: bool = True) -> Weights:
        """Weights at a timestep in [0, 1000] for the conditions that are present."""
        chain = [(_NULL, 1.0), (_TEXT, scale_at(self.text, timestep))]
        if has_audio:
            chain.append((_TEXT_AUDIO, scale_at(self.audio, timestep)))
        if has_image:
            chain.append((Branch(True, True, has_audio), scale_at(self.image, timestep)))
        return telescope(chain)


@dataclass(frozen=True)
class paper:  # noqa: N801
    """Eq. 4: v = v(0) + text [v(T) - v(0)] + image [v(TI) - v(T)] + audio [v(TIA) - v(TI)], time-adaptive.

    The paper publishes no scales; the defaults are ours. Above the switch the scales are `early`'s, where
    given.

    Source: HuMo sec. 3.4, Eq. 4 and "time-adaptive CFG" (from 1.0 to 0.98 a set led by text and image).
    """

    text: Scale = 5.0
    image: Scale = 4.0
    audio: Scale = 5.5
    early: tuple[Scale, Scale, Scale] | None = None
    """Text, image and audio scale above the switch; None for the same scales throughout."""
    switch: float = 980.0
    until: float = 0.0
    """Timestep below which every scale is 1 (not the paper's)."""

    def __call__(self, timestep: float, has_image: bool = True, has_audio: bool = True) -> Weights:
        """Weights at a timestep in [0, 1000] for the conditions that are present."""
        text, image, audio = self.scales(timestep)
        chain = [(_NULL, 1.0), (_TEXT, text)]
        if has_image:
            chain.append((_TEXT_IMAGE, image))
        if has_audio:
            chain.append((Branch(True, has_image, True), audio))
        return telescope(chain)

    def scales(self, timestep: float) -> tuple[float, float, float]:
        """Scale of text, picture and sound at a timestep in [0, 1000]."""
        if timestep < self.until:
            return 1.0, 1.0, 1.0
        early = self.early if timestep > self.switch else None
        text, image, audio = early or (self.text, self.image, self.audio)
        return scale_at(text, timestep), scale_at(image, timestep), scale_at(audio, timestep)


@dataclass(frozen=True)
class constant:  # noqa: N801
    """Eq. 4 without its switch, one set of scales for the whole time (ours)."""

    text: Scale = 2.5
    image: Scale = 2.0
    audio: Scale = 2.5
    until: float = 0.0
    """Timestep below which every scale is 1."""

    def __call__(self, timestep: float, has_image: bool = True, has_audio: bool = True) -> Weights:
        """Weights at a timestep in [0, 1000] for the conditions that are present."""
        return self._timed()(timestep, has_image, has_audio)

    def scales(self, timestep: float) -> tuple[float, float, float]:
        """Scale of text, picture and sound at a timestep in [0, 1000]."""
        return self._timed().scales(timestep)

    def _timed(self) -> paper:
        return paper(self.text, self.image, self.audio, until=self.until)


Rule = published_17b | published_1_7b | paper | constant | Callable[..., Weights]
"""Anything called as `rule(timestep, has_image, has_audio)` that returns weights."""
RULES = {rule.__name__: rule for rule in (published_17b, published_1_7b, paper, constant)}
"""The rules by name."""
_RAMPS = {ramp.__name__: ramp for ramp in (step, linear, cosine)}


def make_rule(settings: Mapping[str, Any]) -> Rule:
    """Build a rule from plain data, as a pipeline's config or a record stores it.

    Args:
        settings: {"rule": "published_17b", "text": 5.0, ...}; a scale that is a function is {"ramp":
            "linear", "early": 6.0, "late": 3.0}.

    Returns:
        The rule; `describe_rule` gives the settings back.

    Raises:
        ValueError: if the rule, the ramp or an argument is unknown, or a number is none that guidance can have.
    """
    rule = _build(settings, "rule", RULES)
    check_rule(rule)
    return rule


def read_rule(guidance: Rule | Mapping[str, Any]) -> Rule:
    """A rule as it is, or made of its plain data.

    Raises:
        ValueError: if it is neither, or a number of it is none that guidance can have.
    """
    if isinstance(guidance, Mapping):
        return make_rule(guidance)
    check_rule(guidance)
    return guidance


def check_rule(rule: Any) -> None:
    """Refuse numbers that guidance cannot have; a rule or a scale of your own is your own matter.

    Raises:
        ValueError: if a scale is no number within ±100, or one of `PLACES` no timestep.
    """
    if not callable(rule):
        raise ValueError(f"guidance is {short(rule)}: give a rule of humo.guidance, or its plain data.")
    if type(rule) in RULES.values():
        for field in fields(rule):
            _check_value(field.name, getattr(rule, field.name))


def parse_rule(text: str) -> dict[str, Any]:
    """Plain data of a rule from the command line.

    Raises:
        ValueError: if the text is no JSON object, or `make_rule` refuses it.
    """
    try:
        settings = dict(json.loads(text))
    except (ValueError, TypeError):
        raise ValueError(f'guidance is {text!r}: give JSON such as {{"rule": "constant", "text": 2.5}}.') from None
    make_rule(settings)
    return settings


def describe_rule(rule: Rule) -> dict[str, Any]:
    """Write a rule as plain data, for records; `make_rule` reads it back.

    A rule or a scale of your own is written as {"rule": "custom", "text": its repr}, which is for people to
    read.
    """
    return _describe(rule, "rule", RULES)


def _build(settings: Mapping[str, Any], kind: str, classes: Mapping[str, type]) -> Any:
    name = settings.get(kind)
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"guidance {kind} {short(name)} is unknown: use one of {', '.join(classes)}.")
    allowed = [field.name for field in fields(classes[name])]
    arguments = {key: _build_value(value) for key, value in settings.items() if key != kind}
    if unknown := [key for key in arguments if key not in allowed]:
        raise ValueError(f"guidance {kind} {name} has no {unknown[0]!r}: it has {', '.join(allowed)}.")
    if kind == "ramp" and not {"early", "late"} <= arguments.keys():
        raise ValueError("guidance has a ramp without its ends.")
    return classes[name](**arguments)


def _build_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _build(value, "ramp", _RAMPS)
    return tuple(map(_build_value, value)) if isinstance(value, list | tuple) else value


def _check_value(name: str, value: Any) -> None:
    """A timestep, the scales above the switch, or a scale: a number, a ramp, or a function of one's own."""
    if name in PLACES:
        check_number(f"guidance {name}", value, *TIMESTEPS)
    elif name == "early":
        if value is not None and (not isinstance(value, tuple) or len(value) != 3):
            raise ValueError("guidance early must be three scales, of text, picture and voice.")
        for scale in value or ():
            _check_value("early scale", scale)
    elif type(value) in _RAMPS.values():
        for field in fields(value):
            bounds = TIMESTEPS if field.name in PLACES else SCALES
            check_number(f"guidance {name} {field.name}", getattr(value, field.name), *bounds)
    elif not callable(value):
        check_number(f"guidance {name}", value, *SCALES)


def _describe(item: Any, kind: str, classes: Mapping[str, type[Any]]) -> dict[str, Any]:
    name = type(item).__name__
    if classes.get(name) is not type(item):
        return {kind: "custom", "text": repr(item)}
    values = {field.name: _describe_value(getattr(item, field.name)) for field in fields(item)}
    if not values.get("until", 1.0):  # as records say it that are older than `until`, and mean the same
        del values["until"]
    return {kind: name, **values}


def _describe_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_describe_value(entry) for entry in value]
    if callable(value):
        return _describe(value, "ramp", _RAMPS)
    return value if value is None or isinstance(value, int) else float(value)  # NumPy's numbers are no plain data
