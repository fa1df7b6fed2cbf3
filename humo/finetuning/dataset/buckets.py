"""Sizes and lengths into which clips are sorted, so that a batch holds clips of one shape.

HuMo trains at 25 frames a second, 480x832 and 97 frames; the other shapes of the same area are ours.
"""

from __future__ import annotations

import math

from humo.finetuning.dataset.settings import PrepareSettings

RATIOS = (16 / 9, 3 / 2, 4 / 3, 1.0)
"""Width over height of the buckets, which also stand upright (ours)."""
PUBLISHED_SIZE = 480, 832
"""Height and width of HuMo's training."""


def bucket_sizes(settings: PrepareSettings) -> list[tuple[int, int]]:
    """The frames into which videos are fitted.

    Args:
        settings: `sizes` if given, else `area` and `multiple` decide.

    Returns:
        (height, width) pairs, widest first, without doubles.
    """
    if settings.sizes is not None:
        return [(height, width) for height, width in settings.sizes]
    sizes = [_largest(ratio, settings.area, settings.multiple) for ratio in RATIOS]
    if settings.area == math.prod(PUBLISHED_SIZE) and settings.multiple == 16:
        sizes[0] = PUBLISHED_SIZE
    return list(dict.fromkeys(sizes + [size[::-1] for size in reversed(sizes)]))


def choose_size(height: int, width: int, settings: PrepareSettings) -> tuple[int, int]:
    """The bucket whose shape is nearest to a video's, by the logarithm of width over height.

    Args:
        height: of the video as shown, pixels.
        width: of the video as shown, pixels.
        settings: of the preparation.

    Returns:
        (height, width) of the bucket.
    """
    shape = math.log(width / height)
    return min(bucket_sizes(settings), key=lambda size: abs(math.log(size[1] / size[0]) - shape))


def choose_length(num_frames: int, settings: PrepareSettings) -> int | None:
    """The longest bucket that `num_frames` fill; None if they fill none."""
    return next((length for length in settings.lengths if length <= num_frames), None)


def _largest(ratio: float, area: int, multiple: int) -> tuple[int, int]:
    """The pair of multiples within the area that is nearest to a shape, the larger of equals."""
    height = math.sqrt(area / ratio)
    rows = {max(1, math.floor(height / multiple)), max(1, math.ceil(height / multiple))}
    found = []
    for row in rows:
        columns = max(1, min(round(row * ratio), area // (row * multiple**2)))
        off = abs(math.log(columns / row / ratio))
        found.append((round(off, 2), -row * columns, (row * multiple, columns * multiple)))
    return min(found)[2]
