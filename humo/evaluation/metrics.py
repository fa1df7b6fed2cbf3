"""Figures: correlation of mouths, shares of right attributes, Frechet distance, intervals, PSNR. All ours.

Legend: n clips, f frames, c channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

MAX_LAG = 2
"""Frames by which a mouth may be early or late."""
MIN_SPREAD = 0.02
"""Standard deviation of openness below which a clip counts as silent and has no lip sync."""


def psnr(mean_square: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, infinite where there is no error.

    Args:
        mean_square: of the error.
        peak: of the signal.
    """
    return float(10 * np.log10(peak**2 / mean_square)) if mean_square > 0 else float("inf")


def lagged_correlation(measured: np.ndarray, truth: np.ndarray, lag: int) -> float:
    """Pearson correlation of two curves (f,) of which the first is `lag` frames late; 0 if one is flat.

    Raises:
        ValueError: if the curves differ in length or are shorter than the shift allows.
    """
    if measured.shape != truth.shape or len(truth) < abs(lag) + 3:
        raise ValueError(
            f"the curves have {len(measured)} and {len(truth)} frames: give two of equal length, {abs(lag) + 3} or "
            "more."
        )
    frames = len(truth)
    return correlation(measured[max(lag, 0) : frames + min(lag, 0)], truth[max(-lag, 0) : frames - max(lag, 0)])


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation, 0 where a curve is flat."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 1e-9 else 0.0


def sync_scores(
    measured: Sequence[np.ndarray], truths: Sequence[np.ndarray], max_lag: int = MAX_LAG
) -> dict[int, np.ndarray]:
    """Correlation of every measured curve with every truth by lag, {-max_lag .. max_lag: (n, n)}.

    The diagonal is lip sync; off the diagonal stand the same videos against other cases' voices, the control.
    """
    return {
        lag: np.array([[lagged_correlation(one, other, lag) for other in truths] for one in measured])
        for lag in sorted(range(-max_lag, max_lag + 1), key=abs)
    }


def best_lag(scores: dict[int, np.ndarray]) -> int:
    """The lag at which all videos together are in sync best, the smallest of equals.

    One lag for all, not one for each clip: whoever picks the best of five lags clip by clip finds a correlation of
    0.2 between voices that have nothing to do with each other.
    """
    return max(scores, key=lambda lag: float(np.diag(scores[lag]).mean()))


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Mean of each row without its diagonal, (n,); NaN for a single row."""
    n = len(matrix)
    return (matrix.sum(1) - np.diag(matrix)) / (n - 1) if n > 1 else np.full(n, np.nan)


def loudness(waveform: np.ndarray, num_frames: int) -> np.ndarray:
    """Root mean square of the sound in each frame, (f,): what a mouth would do that only hears how loud it is."""
    length = len(waveform) // num_frames
    return np.sqrt((waveform[: length * num_frames].reshape(num_frames, length) ** 2).mean(1))


def share(hits: Sequence[dict[str, bool]]) -> float:
    """Share of right readings over all clips and attributes; NaN if nothing was asked."""
    right = [value for clip in hits for value in clip.values()]
    return float(np.mean(right)) if right else float("nan")


def share_by_attribute(hits: Sequence[dict[str, bool]]) -> dict[str, tuple[float, int]]:
    """Share of right readings and number of clips, by attribute."""
    names = dict.fromkeys(name for clip in hits for name in clip)
    columns = {name: [clip[name] for clip in hits if name in clip] for name in names}
    return {name: (float(np.mean(column)), len(column)) for name, column in columns.items()}


def frechet_distance(made: np.ndarray, real: np.ndarray) -> float:
    """Frechet distance of two sets of features, each seen as a normal distribution with independent channels.

    Channels are measured in standard deviations of the real set, and the distance is their mean: 1 says that a channel
    is off by as much as real clips differ from each other. Whole covariances, as in the usual FID, need thousands of
    clips: with 16 of them, generated clips came out nearer to real ones than other real clips did. The figure still
    means something only beside the distance of two real sets of the same sizes.

    Args:
        made: (n, c).
        real: (m, c).

    Returns:
        Mean over channels of the squared differences of means and of standard deviations, 0 for equal sets.

    Source: Heusel et al. 2017 (arXiv 1706.08500), there with whole covariances of Inception's features.
    """
    unit = real.std(0)
    unit = np.maximum(unit, 0.1 * np.median(unit) + 1e-9)  # a channel that real clips hardly use is no fine ruler
    shift, spread = (made.mean(0) - real.mean(0)) / unit, (made.std(0) - real.std(0)) / unit
    return float((shift**2 + spread**2).mean())


def interval(
    figure: Callable[[np.ndarray], float], num_clips: int, draws: int = 500, seed: int = 0
) -> list[float] | None:
    """Bootstrap interval of a figure: its 2.5 % and 97.5 % quantiles over clips drawn with replacement.

    Args:
        figure: from the positions of the drawn clips (n,) to the figure.
        num_clips: clips there are.
        draws: number of drawings.
        seed: of the drawings.

    Returns:
        Lower and upper bound; None for fewer than two clips.
    """
    if num_clips < 2:
        return None
    rng = np.random.default_rng(seed)
    values = [figure(rng.integers(num_clips, size=num_clips)) for _ in range(draws)]
    return [float(value) for value in np.nanquantile(values, (0.025, 0.975))]
