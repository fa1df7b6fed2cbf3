"""What somebody has said so far, on the clock of the video: the sound of each frame, and the seconds before. Ours."""

from __future__ import annotations

import threading

import numpy as np

from humo.media import LOUDEST
from humo.media.sounds import MAX_RATE, MIN_RATE, hear_samples
from humo.system.ranges import is_whole, short
from humo.timing import FPS


class HeardSound:
    """A sound that grows at its end and is forgotten at its beginning; several threads may share it.

    Before the first sample lies silence. Frame 0 begins with the first sample.

    Args:
        rate: Hz of the sound, 8,000 to 192,000.
        memory: frames before the oldest one that is still asked for.

    Raises:
        ValueError: if the rate is not allowed.
    """

    def __init__(self, rate: int, memory: int) -> None:
        self.rate, self._memory = read_rate(rate), memory
        self._first = self.sample_of(-memory)
        """Number of the oldest sample that is kept."""
        self._kept = np.zeros(-self._first, np.float32)
        self._lock = threading.Lock()

    def sample_of(self, frame: int) -> int:
        """Number of the first sample of a frame."""
        return round(frame * self.rate / FPS)

    @property
    def num_samples(self) -> int:
        """Samples that were heard."""
        with self._lock:
            return self._first + len(self._kept)

    @property
    def num_frames(self) -> int:
        """Frames whose sound was heard whole."""
        heard, frame = self.num_samples, 0
        frame = int(heard * FPS / self.rate)
        while self.sample_of(frame + 1) <= heard:
            frame += 1
        while self.sample_of(frame) > heard:
            frame -= 1
        return frame

    def add(self, samples: np.ndarray) -> None:
        """Hear more.

        Args:
            samples: mono, (samples,), floats in about [-1, 1] or int16.

        Raises:
            ValueError: if they are no such samples.
        """
        samples = read_chunk(samples)
        with self._lock:
            self._kept = np.concatenate([self._kept, samples])

    def played(self, first: int, stop: int) -> np.ndarray:
        """The sound of the frames from `first` on, before `stop`, at its own rate, float32 (samples,)."""
        return self._cut(self.sample_of(first), self.sample_of(stop))

    def heard(self, first: int, stop: int) -> np.ndarray:
        """The sound of frames as the model hears it, at 16 kHz, float32 (640 * frames,)."""
        wanted = (stop - first) * 16_000 // FPS
        found = hear_samples(self.played(first, stop)[:, None], self.rate)[:wanted]
        return np.pad(found, (0, wanted - len(found)))

    def forget(self, frame: int) -> None:
        """Keep of what lies before a frame no more than the memory."""
        with self._lock:
            number = self.sample_of(frame - self._memory)
            if number > self._first:
                self._kept = self._kept[number - self._first :].copy()
                self._first = number

    def leave_out(self, frame: int, stop: int) -> int:
        """Take the frames from `frame` on, before `stop`, out: what follows moves up. Returns the samples that went."""
        with self._lock:
            begin, end = self.sample_of(frame) - self._first, self.sample_of(stop) - self._first
            self._kept = np.concatenate([self._kept[:begin], self._kept[end:]])
            return end - begin

    def _cut(self, begin: int, end: int) -> np.ndarray:
        with self._lock:
            return self._kept[begin - self._first : end - self._first].copy()


def read_rate(rate: object) -> int:
    """Samples a second that may be heard.

    Raises:
        ValueError: if it is no whole number from 8,000 to 192,000.
    """
    if not is_whole(rate, MIN_RATE, MAX_RATE):
        raise ValueError(f"the sound's rate is {short(rate)}: give a whole number of Hz from 8000 to 192000.")
    return int(rate)  # type: ignore[call-overload]  # a whole number, as was seen


def read_chunk(samples: np.ndarray) -> np.ndarray:
    """A stretch of sound, checked.

    Args:
        samples: mono, (samples,), floats in about [-1, 1] or int16.

    Returns:
        float32 (samples,).

    Raises:
        ValueError: if it is of another shape or kind, or holds what nobody can reckon with.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or not (samples.dtype == np.int16 or samples.dtype.kind == "f"):
        raise ValueError(
            f"the sound is {samples.dtype} of the shape {samples.shape}: give mono samples (samples,), floats in "
            "[-1, 1] or int16."
        )
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / 2**15
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all() or np.abs(samples).max(initial=0.0) > LOUDEST:
        raise ValueError("the sound contains numbers that are no samples: give floats in [-1, 1].")
    return samples
