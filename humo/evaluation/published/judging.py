"""Judging: every instrument over every video that it applies to, one family at a time, kept so that it can go on.

Scores lie in `scores.json` under a key of the video's bytes, the case and the instrument's weights: what was judged
once is not judged again, and a changed video is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.generation import digest_case
from humo.evaluation.published.instruments.metric import Metric, applies, read_video
from humo.evaluation.published.instruments.registry import metric_class
from humo.evaluation.published.instruments.weights import Weights
from humo.system.digests import digest_data, digest_file
from humo.system.files import write_json

SCORES = "scores.json"
VERSION = 1
"""Of what the instruments compute: a change of their definition counts it up."""


@dataclass(slots=True)
class Judgement:
    """What the instruments said.

    Attributes:
        scores: metric: id: figure, NaN where the instrument found nothing to measure.
        left_out: metric: why it is not there.
    """

    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def check_metrics(names: Sequence[str], weights: Weights) -> dict[str, str]:
    """See, before hours are spent, which metrics cannot be loaded.

    Args:
        names: of `humo.evaluation.published.instruments.registry.METRICS`.
        weights: the folder.

    Returns:
        Metric: the sentence that says what is missing.
    """
    lacking = {}
    for name in names:
        metric = metric_class(name)
        try:
            weights.require(name, metric.needs, metric.packages)
        except ValueError as error:
            lacking[name] = str(error)
    return lacking


def judge(
    videos: Mapping[str, Path],
    cases: Sequence[BenchCase],
    names: Sequence[str],
    weights: Weights,
    folder: Path,
    show: Callable[[str, str], None] | None = None,
) -> Judgement:
    """Measure every metric on every video.

    Args:
        videos: id: video, of some or all cases.
        cases: of the bench.
        names: metrics that can be loaded.
        weights: the folder.
        folder: where scores are kept; must exist.
        show: called with a metric's name and a case's id after each measurement.

    Returns:
        Figures; a metric that applies to no case is left out with that reason, one that cannot be loaded with its own.

    Raises:
        ValueError: if a video cannot be read.
    """
    judged = [case for case in cases if case.id in videos]
    store = _Store(folder / SCORES)
    result = Judgement()
    digests = {case.id: digest_file(videos[case.id]) + digest_case(case) for case in judged}
    for _, members in groupby(names, key=lambda name: metric_class(name).family):
        todo: dict[str, dict[str, str]] = {}
        for name in members:
            keys = {case.id: _key(name, digests[case.id]) for case in judged if applies(metric_class(name), case)}
            if not keys:
                result.left_out[name] = _no_case(name)
                continue
            result.scores[name] = {case: value for case, key in keys.items() if (value := store.get(key)) is not None}
            todo[name] = {case: key for case, key in keys.items() if case not in result.scores[name]}
        loaded = _load([name for name, keys in todo.items() if keys], weights, result)
        for case in judged:
            asked = [metric for metric in loaded if case.id in todo[metric.name]]
            if not asked:
                continue
            video = read_video(videos[case.id])
            for metric in asked:
                value = metric.measure(video, case)
                result.scores[metric.name][case.id] = value
                store.put(todo[metric.name][case.id], value)
                if show is not None:
                    show(metric.name, case.id)
        weights.release()
    return result


def _load(names: Sequence[str], weights: Weights, result: Judgement) -> list[Metric]:
    loaded = []
    for name in names:
        try:
            loaded.append(metric_class(name).load(weights))
        except ValueError as error:
            result.left_out[name] = str(error)
            result.scores.pop(name)
    return loaded


def _no_case(name: str) -> str:
    needed = {"I": "references", "A": "a sound", "Q": "questions"}
    wanted = " and ".join(needed[condition] for condition in metric_class(name).conditions)
    return f"no judged case has {wanted or 'a video'}"


def _key(name: str, digests: str) -> str:
    needs = [(file.path, file.url, file.sha256) for file in metric_class(name).needs]
    return digest_data([VERSION, name, needs, digests])[:20]


class _Store:
    """Scores by key; NaN is null in the file, which JSON has no number for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            digests = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            digests = {}
        except (OSError, ValueError):
            raise ValueError(
                f"{path.name} in {path.parent.name} is damaged: delete it, videos are judged anew."
            ) from None
        self.digests: dict[str, float | None] = digests

    def get(self, key: str) -> float | None:
        """A score; None if there is none yet."""
        if key not in self.digests:
            return None
        return math.nan if self.digests[key] is None else self.digests[key]

    def put(self, key: str, value: float) -> None:
        """Keep a score, on the disk at once."""
        self.digests[key] = None if math.isnan(value) else value
        write_json(self.path, self.digests, indent=1)
