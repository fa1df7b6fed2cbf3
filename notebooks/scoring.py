"""Scores of guidance schedules: the same held-out cases and noise for all, compared case by case. For the challenge.

The score of a schedule is the mean of three figures of `python -m humo evaluate`: is the text followed, the picture's
person kept, and does the mouth move with the voice? Intervals are bootstrapped over cases; that of a difference draws
the same cases for both, so that what makes a case hard or easy for everybody drops out. Ours.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import GenerationSettings, generate, settings_for
from humo.evaluation.judging import judge_each, judge_mouths
from humo.evaluation.metrics import interval
from humo.evaluation.probes.networks import Probes
from humo.explain.schedules import schedule
from humo.guidance import make_rule, parse_rule
from humo.pipeline import HuMoPipeline
from humo.system.digests import digest_data
from humo.system.dtypes import dtypes_of
from humo.system.files import read_object, write_json
from humo.system.fingerprint import fingerprint, fingerprint_pipeline
from humo.system.tables import markdown_table

MODE = "TIA"
BUNDLED = "the bundled rule"
MAX_BYTES = 10_000
"""Of a schedule's file."""
PARTS = {"text": "text followed", "identity": "picture kept", "sync": "lip sync"}
"""Figures whose mean is the score, and what they are called."""
_DIGITS = 3
"""Of the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """What all schedules are scored on.

    Raises:
        ValueError: if a number is none that it can be.
    """

    seed: int
    """Of the cases and their noise."""
    cases: int = 32
    """Held-out people with a text, a picture and a voice."""
    frames: int = 49
    """4k + 1 of each video."""
    steps: int | None = None
    """Of the solver; None for the model's own."""
    split: str = "test"
    """Of the world: "test", or "validation" to practise on."""

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("cases", 2), ("frames", 5), ("steps", 1)):
            value = getattr(self, name)
            if value is None and name == "steps":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}: give a whole number from {least} on.")
        if self.frames % 4 != 1:
            raise ValueError(f"frames is {self.frames}: give 4k+1, for example 49.")
        if self.split not in ("test", "validation"):
            raise ValueError(f"split is {self.split!r}: use test or validation.")


@dataclass(frozen=True, slots=True)
class Score:
    """One schedule's figures.

    Attributes:
        name: of its file.
        parts: by name of `PARTS` one number a case, NaN where a case does not ask.
        passes: of the network for one video.
    """

    name: str
    parts: dict[str, np.ndarray]
    passes: int

    def total(self, chosen: np.ndarray | None = None) -> float:
        """The score, of all cases or of those at some positions (drawn with replacement)."""
        return float(np.nanmean([self.part(name, chosen) for name in self.parts]))

    def part(self, name: str, chosen: np.ndarray | None = None) -> float:
        """One figure's mean; NaN if no case asks for it."""
        values = self.parts[name] if chosen is None else self.parts[name][chosen]
        asked = values[~np.isnan(values)]
        return float(asked.mean()) if len(asked) else float("nan")

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))


# 1. Schedules


def read_schedule(path: Path) -> dict[str, Any]:
    """A schedule's plain data.

    Raises:
        ValueError: if the file holds none.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.name} has more than {MAX_BYTES:,} bytes: a schedule is a line of JSON.")
        return parse_rule(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"{path.name} cannot be read: check the path.") from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueError(f'{path.name} is no JSON: write for example {{"rule": "constant", "text": 2.5}}.') from None
    except ValueError as error:
        told = " ".join(str(error).split())
        raise ValueError(told if path.name in told else f"{path.name}: {_short(told)}") from None


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most // 2] + " … " + text[-most // 2 :]


def name_schedules(paths: Sequence[Path]) -> dict[str, Path]:
    """Schedules by the name of their file, or by its whole path where two files are called alike."""
    stems = [path.stem for path in paths]
    taken = {stem for stem in stems if stems.count(stem) > 1} | {BUNDLED}
    return {_plain(str(path) if path.stem in taken else path.stem): path for path in paths}


def _plain(name: str) -> str:
    """A name without what would end a cell or a line of the table."""
    return "".join(letter if letter.isprintable() and letter != "|" else "_" for letter in name)


# 2. Scores


def score_rules(
    pipe: HuMoPipeline, probes: Probes, challenge: Challenge, rules: dict[str, dict[str, Any]], folder: Path
) -> list[Score]:
    """Scores the bundled rule and others; what is finished is kept, and an interrupted run goes on from there.

    Args:
        pipe: the model.
        probes: trained.
        challenge: what they are scored on.
        rules: plain data of rules by name.
        folder: where scores are kept, and videos until their schedule is scored.

    Returns:
        The bundled rule's first, then in the given order.

    Raises:
        ValueError: if the model makes no videos as long as the challenge's.
    """
    every = {BUNDLED: dict(pipe.config.default_guidance), **rules}
    settings = {name: settings_for(pipe, challenge.frames, challenge.steps, rule) for name, rule in every.items()}
    told = [asdict(challenge), fingerprint_pipeline(pipe), dtypes_of(pipe), fingerprint(probes)]
    found: dict[str, dict[str, Any]] = {}
    cases: list[Case] = []
    for name, each in settings.items():
        place = folder / digest_data([*told, asdict(each)])[:16]
        record = read_object(place.with_suffix(".json"))  # of an earlier run, or of an equal schedule
        if record is None:
            cases = cases or _draw(challenge, each.size)
            lag = found[BUNDLED]["lag"] if found else None
            record = _score(pipe, probes, cases, name, each, place, lag)
        found[name] = record
    return [_read(name, record) for name, record in found.items()]


def _draw(challenge: Challenge, size: int) -> list[Case]:
    with tqdm(desc="drawing cases", total=challenge.cases, unit="clip") as bar:
        return make_cases(challenge.cases, challenge.seed, challenge.split, challenge.frames, size, show=bar.update)


def _score(
    pipe: HuMoPipeline,
    probes: Probes,
    cases: Sequence[Case],
    name: str,
    settings: GenerationSettings,
    place: Path,
    lag: int | None,
) -> dict[str, Any]:
    """Makes the videos and reads them; one lag for all schedules, the bundled rule's."""
    readings = [probes.read(frames) for frames in generate(pipe, cases, MODE, settings, place, title=name)]
    lag = judge_mouths(cases, readings).get("sync_lag", 0) if lag is None else lag
    parts = {key: values.tolist() for key, values in judge_each(cases, readings, MODE, lag).items()}
    shift = pipe.scheduler.config.flow_shift
    passes = schedule(make_rule(settings.guidance), settings.num_inference_steps, shift).passes
    record = {"parts": parts, "passes": int(passes), "lag": int(lag)}
    write_json(place.with_suffix(".json"), record)
    shutil.rmtree(place)
    return record


def _read(name: str, record: dict[str, Any]) -> Score:
    return Score(name, {key: np.array(values) for key, values in record["parts"].items()}, record["passes"])


# 3. Comparison


def difference(one: Score, other: Score) -> tuple[float, list[float] | None]:
    """By how much one score is higher, and the 95 % interval of that over cases, the same cases drawn for both."""
    bounds = interval(lambda chosen: one.total(chosen) - other.total(chosen), len(one))
    return one.total() - other.total(), bounds


def verdict(bounds: list[float] | None) -> str:
    """What the interval of a difference says: "better", "worse", or "not decided".

    An end that is 0 in the digits of the table decides nothing: where one case of a few makes the whole difference, the
    bootstrap leaves a hair above 0.
    """
    low, high = (round(each, _DIGITS) for each in bounds or (0, 0))
    return "better" if low > 0 else "worse" if high < 0 else "not decided"


def ranking(scores: Sequence[Score]) -> str:
    """All schedules, best first, as a table in Markdown, with a word on what it does not say.

    Args:
        scores: of `score_rules`, the bundled rule's among them.
    """
    bundled = next(score for score in scores if score.name == BUNDLED)
    ordered = sorted(scores, key=Score.total, reverse=True)
    rows = []
    for place, score in enumerate(ordered):
        bounds = interval(score.total, len(score))
        figures = [f"{score.part(name):.{_DIGITS}f}" for name in score.parts]
        against = "" if score is bundled else _told(*difference(score, bundled))
        below = "" if place + 1 == len(ordered) else _told(*difference(score, ordered[place + 1]))
        total = f"{score.total():.{_DIGITS}f}{_brackets(bounds)}"
        rows.append((place + 1, score.name, total, *figures, score.passes, against, below))
    titles = [PARTS[name] for name in bundled.parts]
    head = ("", "schedule", "score", *titles, "passes", "against the bundled rule", "against the next place")
    comparisons = 2 * (len(scores) - 1)
    chance = (
        f"{len(bundled)} cases, the same noise for all. In brackets: 95 % over cases, of differences case by case. "
        f"Where it says \"not decided\", other cases may turn two places round. Of {comparisons} such comparisons "
        f"between equals about {comparisons / 20:.1f} would seem decided by chance."
    )
    return f"{markdown_table(head, rows)}\n\n{chance}"


def _told(value: float, bounds: list[float] | None) -> str:
    return f"{value:+.{_DIGITS}f}{_brackets(bounds, '+')}, {verdict(bounds)}"


def _brackets(bounds: list[float] | None, sign: str = "") -> str:
    return "" if bounds is None else f" ({bounds[0]:{sign}.{_DIGITS}f} to {bounds[1]:{sign}.{_DIGITS}f})"
