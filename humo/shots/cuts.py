"""Where a long sound is cut into shots: at its pauses, on the grid of video frames (ours).

HuMo was trained on 97 frames, 3.88 seconds; the published code makes no longer video. A longer sound is therefore
cut into shots, each made on its own and shown one after the other with hard cuts, as films do. Nobody hears the
cuts, because the sound itself is never cut: it plays whole over all of them.

In step over the whole: a shot is frames `start` to `stop` of one grid of 25 frames a second that begins with the
sound. A model makes only 4k+1 frames, so a shot is made with up to three frames more, which hear the sound that
follows and are then thrown away. Nothing is rounded from shot to shot, so nothing adds up: the drift is 0.

A pause is where nobody speaks (`humo.media.voice_activity`), whatever else is heard: noise, music, a knock. In a sound
without any speech its silences take the pauses' place.

Of all ways to cut, the one with the smallest total cost is taken (dynamic programming over frames). A cut in a pause
costs less the longer nobody speaks on both sides of it, so the middle of a long pause is best; a cut where there is no
pause costs more than any in a pause, and more the louder it is there; a shot costs a little the further its length is
from an even share. A cut lies in speech only where no pause is within reach: where it cannot be moved into one
between the cuts before and after it without a shot that is too short or too long.

Source: ours; levels and silences are librosa's (`feature.rms`, `effects.split`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from humo.media import SILENCE, Sound, read_sound
from humo.media.voice_activity import find_pauses, find_speech, percentile_around
from humo.requests.checks import fit_samples
from humo.timing import (
    FPS,
    FRAMES_PER_LATENT,
    PUBLISHED_FRAMES,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    covering_frames,
    round_down,
    round_up,
)

SILENCE_DB = 35.0
"""What is so much quieter than the loud parts is silence where nobody speaks at all, decibels."""
_MARGIN, _MARGIN_SHARE = 0.08, 0.3  # seconds between a cut and speech, or that share of a short pause
_HOP = 160  # samples: silences are found to within 10 ms
_AROUND, _LOUD = 50, 95  # frames (2 s) on each side, and percentile: what is loud around a frame, but for a knock
_FAINTEST, _EMPTY = -60.0, SILENCE / 100  # decibels told at most; root mean square of what holds nothing
_HALF_COST_DEPTH = 0.1  # seconds of pause on both sides at which a cut in it costs half of 1
_EDGE_COST, _NO_PAUSE_COST = 2.0, 4.0  # nearer to speech than the margin; in speech, at the threshold of silence
_LOUDNESS_COST = 20.0  # how much more in speech at the loudest
_UNEVENNESS_COST = 1.0  # of a shot of no length, or of twice the even share


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of the video that is made in one go."""

    number: int
    """1 is the first."""
    start: int
    """First frame, on the grid of the whole video."""
    stop: int
    """One past its last frame."""
    note: str
    """Where the sound is cut after it, and why; in a take, that it goes on."""
    overlap: int = 0
    """Frames before its first that are known from the one before; 0 after a hard cut."""

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return self.stop - self.start

    @property
    def num_frames_made(self) -> int:
        """The smallest 4k+1 that covers them and what is known before them; the last ones are thrown away."""
        return round_up(self.overlap + self.num_frames)


def plan_shots(
    waveform: np.ndarray, sample_rate: int, max_frames: int = PUBLISHED_FRAMES, min_frames: int | None = None
) -> list[Shot]:
    """Cut a sound into shots, at its pauses where there are any.

    Args:
        waveform: float in about [-1, 1] or int16, (samples,) or (samples, channels).
        sample_rate: Hz, 8,000 to 192,000.
        max_frames: longest shot, 4k+1 frames at 25 a second.
        min_frames: shortest shot; default a third of the longest. A sound that is shorter is one shot.

    Returns:
        Shots in order, which cover frames 0 to ceil(25 x seconds) exactly once.

    Raises:
        ValueError: if the sound is not allowed (`humo.media.read_sound`) or a limit is not.
    """
    if max_frames < 5 or max_frames % FRAMES_PER_LATENT != 1:
        nearest = max(5, round_down(max_frames))
        raise ValueError(f"The most frames of a shot must be 4k+1 (5, 9, … 97) but is {max_frames}: use {nearest}.")
    min_frames = max_frames // 3 if min_frames is None else min_frames
    if not 1 <= min_frames <= (max_frames + 1) // 2:  # or a sound a frame too long for one shot has no plan
        raise ValueError(f"The fewest frames of a shot must be 1 to {(max_frames + 1) // 2} but is {min_frames}.")
    sound = read_sound((waveform, sample_rate))
    total = count_frames(sound)
    if total <= max_frames:
        return [Shot(1, 0, total, "the sound ends")]
    costs, notes = _judge_cuts(sound.waveform, total)
    stops = _cheapest_stops(costs, min_frames, max_frames)
    starts = [0, *stops[:-1]]
    return [Shot(i + 1, start, stop, notes[stop]) for i, (start, stop) in enumerate(zip(starts, stops, strict=True))]


def count_frames(sound: Sound) -> int:
    """Frames that cover a sound: its seconds times 25, rounded up."""
    return covering_frames(len(sound.original), sound.rate)


def cut_sound(sound: Sound, start: int, stop: int) -> Sound:
    """The part of a sound under some frames.

    Args:
        sound: the whole.
        start: first frame.
        stop: one past the last; silence is added where the sound ends before it.

    Returns:
        Exactly (stop - start) / 25 seconds at 16 kHz, and the same stretch as given, to the nearest sample. It has no
        notes: those of the whole are told once.
    """
    heard = fit_samples(sound.waveform[start * SAMPLES_PER_FRAME :], (stop - start) * SAMPLES_PER_FRAME)
    first, last = (round(frame * sound.rate / FPS) for frame in (start, stop))
    return replace(sound, waveform=heard, original=fit_samples(sound.original[first:], last - first), notes=())


def _judge_cuts(waveform: np.ndarray, total: int) -> tuple[np.ndarray, list[str]]:
    """Cost of a cut at the beginning of every frame and at the end, (total + 1,), and what to say about it."""
    speech = find_speech(waveform)
    if speech:
        pauses = find_pauses(speech, len(waveform) / SAMPLE_RATE)
        pause, instead = "a pause of {:.2f} s", "no pause within reach: {} below the sound around it"
    else:
        pauses = _silences(waveform)
        pause, instead = "a silence of {:.2f} s without speech", "no speech: {} below the sound around it"
    levels = _levels(waveform, total)
    costs = _NO_PAUSE_COST + _LOUDNESS_COST * (1 + np.maximum(levels, -SILENCE_DB) / SILENCE_DB)
    notes = [instead.format(f"{abs(level):.0f} dB" if level > _FAINTEST else "60 dB or more") for level in levels]
    instants = np.arange(total + 1) / FPS
    for begin, end in pauses:
        margin = min(_MARGIN, _MARGIN_SHARE * (end - begin))
        for frame in np.flatnonzero((begin < instants) & (instants < end)):
            depth = min(instants[frame] - begin, end - instants[frame])
            is_inside = depth >= margin
            costs[frame] = 1 / (1 + depth / _HALF_COST_DEPTH) if is_inside else _EDGE_COST
            notes[frame] = f"{'in' if is_inside else 'at the edge of'} {pause.format(end - begin)}"
    costs[total], notes[total] = 0.0, "the sound ends"
    return costs, notes


def _levels(waveform: np.ndarray, total: int) -> np.ndarray:
    """Decibels at every beginning of a frame and at the end, -60 to 0 of what is loud around there, (total + 1,)."""
    from librosa import feature  # slow to import, and only long sounds need it

    padded = fit_samples(waveform, total * SAMPLES_PER_FRAME)
    rms = feature.rms(y=padded, frame_length=2 * SAMPLES_PER_FRAME, hop_length=SAMPLES_PER_FRAME)[0]
    loud = percentile_around(rms, _LOUD, _AROUND, _AROUND)
    return np.clip(20 * np.log10(np.maximum(rms, _EMPTY) / np.maximum(loud, _EMPTY)), _FAINTEST, 0.0)


def _silences(waveform: np.ndarray) -> list[tuple[float, float]]:
    """(begin, end) in seconds of every silence that is as long as a pause.

    Loud is the 95th percentile of what is not empty, so that a knock does not make silence of all the rest.
    """
    from librosa import effects, feature

    rms = feature.rms(y=waveform, frame_length=4 * _HOP, hop_length=_HOP)[0]
    loud = float(np.percentile(rms[rms > _EMPTY], _LOUD))
    sounding = effects.split(waveform, top_db=SILENCE_DB, ref=loud, frame_length=4 * _HOP, hop_length=_HOP)
    return find_pauses([(begin, end) for begin, end in (sounding / SAMPLE_RATE).tolist()], len(waveform) / SAMPLE_RATE)


def _cheapest_stops(costs: np.ndarray, min_frames: int, max_frames: int) -> list[int]:
    """Ends of the shots whose cuts and lengths cost least together."""
    total = len(costs) - 1
    even_share = total / -(-total // max_frames)
    sizes = np.arange(min_frames, max_frames + 1)
    size_costs = _UNEVENNESS_COST * (sizes / even_share - 1) ** 2
    best, previous = np.full(total + 1, np.inf), np.zeros(total + 1, dtype=int)
    best[0] = 0.0
    for stop in range(min_frames, total + 1):
        fitting = sizes <= stop
        candidates = best[stop - sizes[fitting]] + size_costs[fitting]
        choice = int(np.argmin(candidates))
        best[stop], previous[stop] = candidates[choice] + costs[stop], stop - sizes[choice]
    stops = [total]
    while previous[stops[-1]] > 0:
        stops.append(int(previous[stops[-1]]))
    return stops[::-1]
