"""Who is live: one visitor at a time for each device; whoever comes meanwhile is told for how long. Ours."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from humo.live.heard import read_rate
from humo.media import Sound
from humo.space.jobs.job import Model
from humo.space.jobs.request import VideoRequest
from humo.space.live.broadcast import Asked, Broadcast
from humo.space.turns import Turns

MINUTE = 60.0


@dataclass
class _Place:
    visitor: str | None
    broadcast: Broadcast


class LiveHub:
    """The one place for a live session on this machine's device.

    Attributes:
        minutes: of a session at most.
    """

    def __init__(
        self, model: Model, turns: Turns, minutes: float, share: Callable[[bool], None] = lambda is_beginning: None
    ) -> None:
        """Set up with nobody live.

        Args:
            model: its fast form makes the pieces.
            turns: of the device.
            minutes: of a session at most.
            share: told when a session begins and when it ends.
        """
        self.minutes, self._share = minutes, share
        self._model, self._turns = model, turns
        self._place: _Place | None = None
        self._lock = threading.Lock()

    def open(
        self,
        visitor: str | None,
        request: VideoRequest,
        rate: object,
        voice: Path | Sound | None = None,
        notes: Sequence[str] = (),
    ) -> Broadcast:
        """Begin a visitor's session; an earlier one of the same visitor ends.

        Args:
            visitor: who.
            request: who is seen; its sound is not read.
            rate: Hz of the sound that will come.
            voice: a sound of the visitor's, which the player speaks.
            notes: sentences that the player shows beside those of the session.

        Raises:
            ValueError: in one sentence, if somebody else is live, or the rate is none.
        """
        asked = Asked(request, read_rate(rate), self.minutes * MINUTE, voice, tuple(notes))
        with self._lock:
            last = self._place
            if last is not None and last.visitor == visitor:
                last.broadcast.stop()
                last.broadcast.join()  # at the most a step
            if last is not None and not last.broadcast.is_over:
                left = max(1, math.ceil(last.broadcast.seconds_left / MINUTE))
                raise ValueError(f"Somebody else is live at the moment, for {left} min at the most: try again then.")
            broadcast = Broadcast(asked, self._model, self._turns, self._share)
            self._place = _Place(visitor, broadcast)
            broadcast.start()
            return broadcast

    def find(self, id: str) -> Broadcast | None:
        """The session of this id, also if it is over; None if it is another's or nobody's."""
        place = self._place
        return place.broadcast if place is not None and place.broadcast.id == id else None

    @property
    def is_live(self) -> bool:
        """Whether somebody is."""
        return self._place is not None and not self._place.broadcast.is_over
