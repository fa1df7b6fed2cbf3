"""Why a row is not used: one list of reasons, so that a report can count them."""

from __future__ import annotations

REASONS = {
    "no key": "the row names no video",
    "no caption": "the row has no caption",
    "unsafe path": "the row names a file outside the data set",
    "video missing": "no such video file",
    "reference missing": "no reference picture",
    "mask missing": "no mask beside the others",
    "empty file": "a file of zero bytes",
    "corrupt video": "the video cannot be decoded",
    "corrupt reference": "the reference picture cannot be decoded",
    "corrupt sound": "the sound cannot be decoded",
    "zero-length video": "the video has no frames",
    "frame rate": "unknown, absurd, or too slow for 25 frames a second",
    "too short": "fewer frames than the shortest bucket",
    "resolution": "too small for the bucket, or absurdly large",
    "too dark": "below the least brightness",
    "too bright": "above the greatest brightness",
    "blurred": "below the least sharpness",
    "static": "nothing moves",
    "no face": "no face, or in too few frames",
    "no sound": "the video has no sound and none lies beside it",
    "silent": "the sound is silence",
    "sound too short": "the sound ends before the frames",
    "out of sync": "below the least sync score",
    "not finite": "an encoder gave NaN or infinity",
    "reader died": "the reading process crashed or ran out of time",
    "unexpected": "an error that nobody foresaw; the detail names it",
}
"""Reason: what it means."""


class Drop(Exception):
    """A row is not used.

    Args:
        reason: one of `REASONS`.
        detail: numbers or names, for the report.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise KeyError(reason)
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
