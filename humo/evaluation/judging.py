"""Figures of one mode: was the text followed, the person kept, the voice shown? Each beside its control. All ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from humo.evaluation import metrics
from humo.evaluation.cases import Case
from humo.evaluation.probes.networks import OPTIONS, ProbeOutput

Hits = list[dict[str, bool]]


def judge(
    cases: Sequence[Case], readings: Sequence[ProbeOutput], real: Sequence[ProbeOutput], mode: str
) -> dict[str, Any]:
    """Figures of one mode.

    Args:
        cases: what was asked for.
        readings: of the generated videos.
        real: of the rendered truth of the same cases.
        mode: which of the captions was used, and which conditions were given.

    Returns:
        "videos", "faces" and "grain" always; "text" (of what the caption names) as a fraction of what the probes
        reach on renders; with a picture "identity" likewise, over the cases whose caption leaves the person to the
        picture; with a sound "sync" and "width_sync" with their controls. Intervals hold 95 %.
    """
    figures: dict[str, Any] = {
        "videos": len(cases),
        "faces": float(np.mean([(reading.face > 0.5).mean() for reading in readings])),
        "grain": float(np.mean([reading.grain for reading in readings])),
    }
    figures |= _followed("text", cases, readings, real, lambda case: case.named(mode))
    if "I" in mode:
        shown = [index for index, case in enumerate(cases) if case.is_unnamed]
        some_cases = [cases[index] for index in shown]
        some, some_real = ([items[index] for index in shown] for items in (readings, real))
        figures |= _followed("identity", some_cases, some, some_real, Case.identity)
        strangers = some[1:] + some[:1]
        figures["identity_shuffled"] = metrics.share(_hits(some_cases, strangers, Case.identity))
        figures["identity_named_too"] = metrics.share(_hits(cases, readings, Case.identity))
    if "A" in mode:
        figures |= judge_mouths(cases, readings)
    return {name: value for name, value in figures.items() if not _is_nan(value)}


def _followed(
    name: str,
    cases: Sequence[Case],
    readings: Sequence[ProbeOutput],
    real: Sequence[ProbeOutput],
    asked: Callable[[Case], Sequence[str]],
) -> dict[str, Any]:
    """Share of asked attributes that are read, as a fraction of the share on renders of the same cases."""
    hits, ceiling = _hits(cases, readings, asked), _hits(cases, real, asked)

    def fraction(index: np.ndarray) -> float:
        return _fraction([hits[i] for i in index], [ceiling[i] for i in index])

    by_name, by_name_real = metrics.share_by_attribute(hits), metrics.share_by_attribute(ceiling)
    return {
        name: _fraction(hits, ceiling),
        f"{name}_interval": metrics.interval(fraction, len(cases)),
        f"{name}_raw": metrics.share(hits),
        f"{name}_renders": metrics.share(ceiling),
        f"{name}_by_attribute": {
            key: {"generated": by_name[key][0], "renders": by_name_real[key][0], "clips": by_name[key][1]}
            for key in OPTIONS
            if key in by_name
        },
    }


def _fraction(hits: Hits, ceiling: Hits) -> float:
    best = metrics.share(ceiling)
    return metrics.share(hits) / best if best > 0 else float("nan")


def _hits(cases: Sequence[Case], readings: Sequence[ProbeOutput], asked: Callable[[Case], Sequence[str]]) -> Hits:
    return [
        {name: reading.label(name) == case.truth(name) for name in asked(case)}
        for case, reading in zip(cases, readings, strict=True)
    ]


def judge_each(
    cases: Sequence[Case], readings: Sequence[ProbeOutput], mode: str, lag: int = 0
) -> dict[str, np.ndarray]:
    """Figures of single cases, so that two makers of the same cases can be compared case by case.

    Args:
        cases: what was asked for.
        readings: of the generated videos.
        mode: as of `judge`.
        lag: frames by which all mouths are taken to be late, `judge_mouths`' "sync_lag" of one of the makers.

    Returns:
        By name one number a case, (cases,), NaN where a case does not ask: "text", the share that is read right of what
        the caption names; with a picture "identity", the same of the person where the caption leaves them to the
        picture; with a sound "sync", the correlation of the mouth's openness with the truth where somebody speaks.
    """
    figures = {"text": _shares(_hits(cases, readings, lambda case: case.named(mode)))}
    if "I" in mode:
        shown = _hits(cases, readings, lambda case: case.identity() if case.is_unnamed else ())
        figures["identity"] = _shares(shown)
    if "A" in mode:
        spoken = [case.clip.openness.std() > metrics.MIN_SPREAD for case in cases]
        pairs = zip(cases, readings, strict=True)
        synced = [metrics.lagged_correlation(reading.openness, case.clip.openness, lag) for case, reading in pairs]
        figures["sync"] = np.where(spoken, synced, np.nan)
    return figures


def _shares(hits: Hits) -> np.ndarray:
    return np.array([metrics.share([each]) for each in hits])


def judge_mouths(cases: Sequence[Case], readings: Sequence[ProbeOutput]) -> dict[str, Any]:
    """Lip sync of the cases in which somebody speaks, with both controls, for openness and width.

    Returns:
        "spoken" (cases), "openness_spread" (beside the truth's), and for openness as "sync" and for width as
        "width_sync" the correlation at one lag for all, its interval, "…_lag", and the controls "…_shuffled" and
        "…_loudness"; empty if nobody speaks.
    """
    pairs = [
        (case.clip, reading)
        for case, reading in zip(cases, readings, strict=True)
        if case.clip.openness.std() > metrics.MIN_SPREAD
    ]
    if not pairs:
        return {}
    figures: dict[str, Any] = {"spoken": len(pairs)}
    for name, key in (("openness", "sync"), ("width", "width_sync")):
        truths = [getattr(clip, name) for clip, _ in pairs]
        scores = metrics.sync_scores([getattr(reading, name) for _, reading in pairs], truths)
        lag = metrics.best_lag(scores)
        own = np.diag(scores[lag])
        loud = metrics.sync_scores([metrics.loudness(clip.waveform, len(clip.frames)) for clip, _ in pairs], truths)
        figures[f"{key}_lag"] = lag
        figures[key] = float(own.mean())
        figures[f"{key}_interval"] = metrics.interval(lambda index: float(own[index].mean()), len(own))  # noqa: B023
        controls = {shift: metrics.off_diagonal(matrix) for shift, matrix in scores.items()}
        figures[f"{key}_shuffled"] = float(max(control.mean() for control in controls.values()))
        figures[f"{key}_loudness"] = float(np.diag(loud[metrics.best_lag(loud)]).mean())
    spread = [reading.openness.std() / clip.openness.std() for clip, reading in pairs]
    return figures | {"openness_spread": float(np.mean(spread))}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and np.isnan(value)
