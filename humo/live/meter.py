"""Whether a live video keeps up: how long its pieces take, how late they come, how often the picture stands. Ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """When a piece was made; seconds of `time.monotonic`."""

    ready_at: float
    """All the sound that the piece needs had been heard, and it was asked for."""
    made_at: float
    """Its frames were there."""

    @property
    def seconds(self) -> float:
        """That making it took."""
        return self.made_at - self.ready_at


class Meter:
    """Counts the pieces of a live video, and plays them in thought: each begins where the one before it ends.

    A piece that comes later than that is an underrun; from it on all are played later. `margin` seconds lie between the
    first piece's coming and its playing, so that small delays are not seen.

    Args:
        margin: seconds.
    """

    def __init__(self, margin: float = 0.15) -> None:
        self._margin = margin
        self.pieces = self.underruns = 0
        self.played = self.computed = self.longest = 0.0
        """Seconds of all pieces, seconds that making them took, and of the slowest one."""
        self.delay = self.largest_delay = 0.0
        """Seconds from a sound to its picture, at the last piece and at the most."""
        self._ends_at: float | None = None

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of video: below 1 it keeps up; 0 before the first piece."""
        return self.computed / self.played if self.played else 0.0

    def count(self, timing: Timing, length: float, heard_at: float) -> None:
        """Take note of a piece.

        Args:
            timing: when it was made.
            length: its seconds.
            heard_at: when its last sound was heard.
        """
        self.pieces += 1
        self.played += length
        self.computed += timing.seconds
        self.longest = max(self.longest, timing.seconds)
        begins_at = self._ends_at
        if begins_at is None or timing.made_at > begins_at:
            self.underruns += begins_at is not None
            begins_at = timing.made_at + self._margin
        self._ends_at = begins_at + length
        self.delay = self._ends_at - heard_at
        self.largest_delay = max(self.largest_delay, self.delay)

    def pause(self) -> None:
        """Take note that nobody spoke for a while: the next piece is not late."""
        self._ends_at = None
