"""One visitor's live session: a thread that makes pieces as sound comes in, and what its player is told. Ours.

Sound comes in stretches that are numbered by their first sample, and pieces go out by number, so that either may be
asked for or sent once more where a connection was lost. What never came is left out: who speaks live does not wait for
what was said before.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from humo.media import Sound
from humo.space.jobs.job import Model, Stopped
from humo.space.jobs.request import VideoRequest
from humo.space.live.wire import pack_piece
from humo.space.turns import Turns

if TYPE_CHECKING:
    from humo.live.session import LiveSession, Piece
    from humo.pipeline import HuMoPipeline

logger = logging.getLogger(__name__)
PATIENCE = 20.0
"""Seconds without a word from the player after which a session ends: a lost connection may last that long."""
KEPT = 4
"""Pieces that are kept for a player which was away."""
OPENING = -1
"""Number of what is shown before anybody spoke."""
_TICK = 0.5


@dataclass(frozen=True)
class Asked:
    """What a live session is asked for."""

    request: VideoRequest
    rate: int
    """Hz of the sound that comes in."""
    seconds: float
    """Of the session at most."""
    voice: Path | Sound | None = None
    """A sound of the visitor's, which the player speaks in place of a microphone."""
    notes: tuple[str, ...] = ()
    """Sentences for the player beside those of the session."""


class Broadcast:
    """A live session on its way.

    Attributes:
        id: by which its player names it; nobody can guess it.
        asked: what for.
    """

    def __init__(
        self,
        asked: Asked,
        model: Model,
        turns: Turns,
        share: Callable[[bool], None] = lambda is_beginning: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; `start` begins.

        Args:
            asked: what for.
            model: whose fast form makes the pieces.
            turns: of the device; a live piece goes first.
            share: told when it begins and when it ends.
            clock: tells seconds.
        """
        self.id, self.asked = secrets.token_urlsafe(16), asked
        self._model, self._turns, self._share, self._clock = model, turns, share, clock
        self._session: LiveSession | None = None
        """Once its person is drawn: it hears then."""
        self._begun: LiveSession | None = None
        """The same from its beginning on: it can be stopped."""
        self._packed: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._over = ""
        self._expected = 0
        """Number of the sample that comes next."""
        self._places: deque[tuple[int, int]] = deque()
        """(samples that the session had heard, number of the next one) at each beginning and gap."""
        self._heard = 0
        self._ends_at, self._seen_at = clock() + asked.seconds, clock()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return bool(self._over)

    @property
    def seconds_left(self) -> float:
        """Until its limit, 0 or more."""
        return max(0.0, self._ends_at - self._clock())

    def hear(self, start: int, samples: np.ndarray) -> dict[str, Any]:
        """Take sound in.

        Args:
            start: number of its first sample; what came before is passed over, what is missing is left out.
            samples: int16 (samples,).

        Returns:
            What the player is told.
        """
        with self._changed:
            self._seen_at = self._clock()
            samples = samples[max(0, self._expected - start) :]
            start = max(start, self._expected)
            if self._session is not None and len(samples) and not self._over:
                if start > self._expected or not self._places:
                    self._places.append((self._heard, start))
                self._session.hear(samples)
                self._heard += len(samples)
            self._expected = start + len(samples)
            self._changed.notify_all()
        return self.told()

    def next_piece(self, after: int, timeout: float) -> bytes | dict[str, Any]:
        """The first piece after a number that is still kept, waiting for it; without one, what the player is told."""
        with self._changed:
            self._seen_at = self._clock()
            self._changed.wait_for(lambda: self._find(after) is not None or self._over, timeout)
            self._seen_at = self._clock()
            return self._find(after) or self.told()

    def told(self) -> dict[str, Any]:
        """How the session stands, as plain data."""
        return {"over": self._over, "is_open": self._session is not None, "seconds_left": round(self.seconds_left, 1)}

    def stop(self, sentence: str = "Stopped.") -> None:
        """End it; returns at once.

        Args:
            sentence: why.
        """
        with self._changed:
            self._over = self._over or sentence
            if self._begun is not None:
                self._begun.stop()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until its thread has ended."""
        self._thread.join()

    def _find(self, after: int) -> bytes | None:
        return next((packed for number, packed in self._packed if number > after), None)

    def _run(self) -> None:
        self._share(True)
        try:
            self._live()
        except Stopped:
            self.stop()
        except ValueError as error:
            self.stop(str(error))
        except Exception:  # must reach the visitor as a sentence, and the log in full
            logger.exception("a live session failed")
            self.stop("Something went wrong on the server, its log says what: please try again.")
        finally:
            self._share(False)
        with self._changed:
            self._session = self._begun = None  # its tensors go at once, though the last answers may still be asked for

    def _live(self) -> None:
        asked = self.asked.request
        pipe = asked.made_by(self._model.get(lambda: self.is_over))
        from humo.sampling import StopGeneration  # with the model, for two threads cannot import diffusers at once

        try:
            self._carry(self._session_of(pipe))
        except StopGeneration:
            self.stop()

    def _session_of(self, pipe: HuMoPipeline) -> LiveSession:
        from humo.live.session import LiveSession

        asked = self.asked.request
        return LiveSession(
            pipe,
            asked.prompt,
            list(asked.images) or None,
            rate=self.asked.rate,
            guidance=asked.guidance or None,
            seed=asked.seed,
            height=asked.height,
            width=asked.width,
            as_is=asked.as_is,
        )

    def _carry(self, session: LiveSession) -> None:
        with self._changed:
            self._begun = session
            if self._over:
                session.stop()
        with self._turns.first():
            opening = session.open()
        about = {"number": OPENING, "notes": [*session.notes, *self.asked.notes], "rate": self.asked.rate}
        self._put(OPENING, pack_piece(opening[-1:], np.zeros(0, np.float32), about))
        with self._changed:
            self._session = session
            self._ends_at = self._clock() + self.asked.seconds  # loading was nobody's time
        while self._wait(session):
            with self._turns.first():
                piece = session.make()
            self._put(piece.number, self._pack(session, piece))

    def _wait(self, session: LiveSession) -> bool:
        """Wait until the next piece can be made; False if the session is over."""
        with self._changed:
            while not self._over:
                if not self.seconds_left:
                    minutes = self.asked.seconds / 60
                    self._over = f"A live session lasts {minutes:g} min at the most: press Speak live to begin again."
                elif self._clock() - self._seen_at > PATIENCE:
                    self._over = f"Nothing was heard of the page for {PATIENCE:g} s: press Speak live to begin again."
                elif session.is_ready:
                    return True
                else:
                    self._changed.wait(_TICK)
            self._changed.notify_all()
            return False

    def _pack(self, session: LiveSession, piece: Piece) -> bytes:
        meter = session.meter
        about = {
            "number": piece.number,
            "rate": session.rate,
            "end": self._number_of(piece.last_sample),
            "factor": round(meter.real_time_factor, 3),
            "seconds": round(piece.timing.seconds, 3),
            "left_out": round(session.left_out, 2),
            "seconds_left": round(self.seconds_left, 1),
        }
        return pack_piece(piece.frames, piece.sound, about)

    def _number_of(self, sample: int) -> int:
        """The player's number of a sample that the session had heard before it left anything out."""
        with self._changed:
            while len(self._places) > 1 and self._places[1][0] < sample:
                self._places.popleft()
            heard, number = self._places[0]
            return number + sample - heard

    def _put(self, number: int, packed: bytes) -> None:
        with self._changed:
            self._packed.append((number, packed))
            self._changed.notify_all()
