"""A long sound in one unbroken take: pieces of which each goes on from the one before (ours).

A piece is a shot (`humo.shots.cuts`) whose first frames are the last ones of the piece before, known by their very
latents (`humo.requests.continuing`), so that nothing jumps where it begins; `make_shots` makes both. The pieces are of
equal length, the first one apart, whatever is said there: a seam needs no pause.
"""

from __future__ import annotations

from humo.requests.continuing import OVERLAP
from humo.shots.cuts import Shot
from humo.timing import FRAMES_PER_LATENT, check_num_frames


def plan_take(total: int, max_frames: int, overlap: int = OVERLAP) -> list[Shot]:
    """Divide a take into pieces.

    Args:
        total: frames of the whole (`humo.shots.cuts.count_frames`).
        max_frames: the most that are made at once, 4k+1, known ones included.
        overlap: frames that are known from the piece before, 4k+1.

    Returns:
        Pieces in order, which cover frames 0 to `total` exactly once.

    Raises:
        ValueError: if a number is not 4k+1, or leaves nothing to be made.
    """
    check_num_frames(max_frames, "max_frames")
    check_num_frames(overlap, "overlap")
    if max_frames < overlap + FRAMES_PER_LATENT:
        raise ValueError(
            f"The most frames of a piece are {max_frames}, {overlap} of them known from the piece before: use "
            f"{overlap + FRAMES_PER_LATENT} or more."
        )
    if total <= max_frames:
        return [Shot(1, 0, total, "the sound ends")]
    count = -(-(total - max_frames) // (max_frames - overlap))
    size = FRAMES_PER_LATENT * -(-(total - max_frames) // (count * FRAMES_PER_LATENT))
    starts = [0, *range(max_frames, total, size)]
    pieces = zip(starts, [*starts[1:], total], strict=True)
    return [
        Shot(i, start, stop, "goes on" if stop < total else "the sound ends", overlap if start else 0)
        for i, (start, stop) in enumerate(pieces, 1)
    ]
