"""What the model hears is brought to the level of the voices that it learned from; what is played stays as given.

A quiet recording says the same as a loud one, but a small audio encoder has heard few of them. The level is that of
the speech alone: frames in which nobody speaks, and frequencies without speech, do not count, so that a knock does not
make a loud voice of a quiet one. Sound without speech in which nothing stands out, such as a room's noise, is left as
it is. Ours, after the active speech level of ITU-T P.56; the published models hear a sound as it is, as in their
release.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from humo.media import Sound
from humo.media.voice_activity import find_speech
from humo.timing import SAMPLE_RATE

HEARD_LEVEL = -20.0
"""Usual level of espeak-ng's voices, dBFS: they lie between -23 and -16."""
MAX_GAIN = 40.0
"""Decibels by which a sound is heard louder at most."""
TOLERANCE = 6.0
"""Decibels around the usual level within which a sound is heard as it is."""
_BAND = (200.0, 4_000.0)
"""Hz between which speech is loud: a rumble below it does not count."""
_FRAME = SAMPLE_RATE // 25
_MARGIN = 15.9
"""Decibels below the active level at which speech ends, as in P.56."""
_STANDS_OUT = 6.0
"""Decibels between the loudest and the quietest frames below which nothing stands out: steady noise has under 4."""
_SILENCE = -90.0
"""dBFS below which a frame is empty and counts for nothing."""


def level_sound(sound: Sound, wanted: float | None, notes: list[str]) -> Sound:
    """A sound of which the model hears the voice at the usual level.

    Args:
        sound: the whole sound, so that its parts keep their proportions.
        wanted: level of the voice, dBFS (`heard_level` of the pipeline's config); None leaves the sound as it is.
        notes: told what was done.

    Returns:
        The sound with another `waveform`, marked so that it is not levelled once more; `original` is untouched.
    """
    if wanted is None or sound.is_levelled:
        return sound
    level = speech_level(sound.waveform)
    if level is None or abs(wanted - level) <= TOLERANCE:
        return replace(sound, is_levelled=True)
    gain = min(wanted - level, MAX_GAIN)
    kind, change = ("quiet", "louder") if gain > 0 else ("loud", "softer")
    notes.append(f"The voice is {kind} ({level:.0f} dBFS): the model hears it {abs(gain):.0f} dB {change}.")
    heard = (sound.waveform * 10 ** (gain / 20)).astype(np.float32)
    return replace(sound, waveform=heard, is_levelled=True)


def speech_level(waveform: np.ndarray) -> float | None:
    """Level of the speech in a sound.

    Args:
        waveform: mono at 16 kHz, (samples,).

    Returns:
        Root mean square of the frames (40 ms) that belong to the speech, dBFS, between 200 and 4,000 Hz; without
        speech, of what stands out; None where nothing does.
    """
    from scipy.signal import butter, sosfilt  # slow to import, and not every video has a sound

    band = sosfilt(butter(2, _BAND, "band", fs=SAMPLE_RATE, output="sos"), waveform)
    frames = np.pad(band, (0, -len(band) % _FRAME)).reshape(-1, _FRAME)
    power = (frames.astype(np.float64) ** 2).mean(1)
    speech = find_speech(waveform)
    if speech:
        middles = (np.arange(len(power)) + 0.5) * _FRAME / SAMPLE_RATE
        power = power[np.any([(begin <= middles) & (middles < end) for begin, end in speech], axis=0)]
    power = power[power > 10 ** (_SILENCE / 10)]
    if not len(power):
        return None
    decibels = 10 * np.log10(power)
    has_silence = len(power) < len(frames)  # digital silence around it, which a voice stands out from
    if not has_silence and not speech and np.percentile(decibels, 97) - np.percentile(decibels, 10) < _STANDS_OUT:
        return None
    active = power
    while True:  # the level defines what is active, and what is active the level
        level = 10 * np.log10(active.mean())
        kept = power[decibels > level - _MARGIN]
        if len(kept) == len(active):
            return float(level)
        active = kept
