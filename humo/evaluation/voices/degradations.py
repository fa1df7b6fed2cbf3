"""What happens to a recording on its way: noise, music under it, a telephone, a low level. All ours.

Each change takes a sound (samples,) at 16 kHz, mono, and a source of chance, and gives one as long. Noise and telephone
are always the same ones, so that figures can be compared; the music is another than that of the training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter, sosfiltfilt

from humo.media import read_sound
from humo.timing import SAMPLE_RATE
from humo.training.audio_encoder.voices.degradations import mixed

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Music = Callable[[np.random.Generator, int], np.ndarray]
"""Gives so many samples of music."""
MUSIC_LEVEL = 0.08
"""Root mean square of music that plays alone."""
_CHORDS = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))
"""Semitones above the key's ground note: the four chords that most songs go through."""


def white_noise(waveform: np.ndarray, rng: np.random.Generator, ratio: float) -> np.ndarray:
    """A hiss, `ratio` decibels under the voice."""
    return mixed(waveform, rng.standard_normal(len(waveform)), ratio)


def room_noise(waveform: np.ndarray, rng: np.random.Generator, ratio: float) -> np.ndarray:
    """Pink noise, as a room and its fans make it, `ratio` decibels under the voice."""
    spectrum = np.fft.rfft(rng.standard_normal(len(waveform)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return mixed(waveform, np.fft.irfft(spectrum, len(waveform)), ratio)


def telephone(waveform: np.ndarray) -> np.ndarray:
    """Nothing but 300 to 3,400 Hz."""
    band = butter(4, (300, 3400), "bandpass", fs=SAMPLE_RATE, output="sos")
    return sosfiltfilt(band, waveform).astype(np.float32)


def gain(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """Louder or softer, as 16-bit samples keep it."""
    return (np.round(waveform * 10 ** (decibels / 20) * 32768) / 32768).astype(np.float32)


def make_music(rng: np.random.Generator, length: int) -> np.ndarray:
    """A made piece of music, (length,) float32 at `MUSIC_LEVEL`: chords, a bass, a melody and drums in a drawn key.

    Args:
        rng: draws key, pace, colour and melody.
        length: samples.
    """
    beat = int(SAMPLE_RATE * 60 / rng.uniform(85, 140))
    ground, brightness = rng.uniform(100, 200), rng.uniform(0.5, 0.92)
    beats = -(-length // beat) + 1
    first = int(rng.integers(4))
    parts = []
    for number in range(beats):
        chord = _CHORDS[(first + number // 4) % 4]
        notes = [(step, 0.35) for step in chord] + [(chord[0] - 12, 0.9)]
        notes.append((chord[rng.integers(4)] + 12, 1.0))
        part = sum(loud * _note(ground * 2 ** (step / 12), beat, brightness, rng) for step, loud in notes)
        parts.append(part + _drum(number, beat, rng))
    offset = int(rng.integers(beat))
    music = np.concatenate(parts)[offset : offset + length]
    return (music * MUSIC_LEVEL / np.sqrt((music**2).mean())).astype(np.float32)


def read_music(folder: Path) -> Music:
    """Pieces of the music in a folder (WAV, FLAC, OGG, MP3), at `MUSIC_LEVEL`.

    Raises:
        ValueError: if there is none that can be read.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3"))
    if not paths:
        raise ValueError(f"{folder} has no music: give a folder of WAV, FLAC, OGG or MP3 files.")
    songs = [read_sound(path).waveform for path in paths]

    def play(rng: np.random.Generator, length: int) -> np.ndarray:
        song = songs[rng.integers(len(songs))]
        start = int(rng.integers(max(1, len(song) - length)))
        piece = np.resize(song[start:], length)
        return (piece * MUSIC_LEVEL / max(float(np.sqrt((piece**2).mean())), 1e-9)).astype(np.float32)

    return play


def with_pause(waveform: np.ndarray, at: int, length: int) -> np.ndarray:
    """A sound with silence put in, cut to the length that it had.

    Args:
        waveform: (samples,).
        at: sample before which the silence begins; the voice fades out and in within 5 ms.
        length: of the silence, samples.
    """
    fade = min(SAMPLE_RATE // 200, at, len(waveform) - at)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    before, after = waveform[:at].copy(), waveform[at:].copy()
    before[at - fade :] *= ramp[::-1]
    after[:fade] *= ramp
    return np.concatenate([before, np.zeros(length, np.float32), after])[: len(waveform)]


def changes(music: Music = make_music) -> dict[str, Change]:
    """The changes under which mouths are measured, by what they are called in a table.

    Args:
        music: gives so many samples of music.
    """
    return {
        "white noise 10 dB under it": lambda waveform, rng: white_noise(waveform, rng, 10),
        "music 10 dB under it": lambda waveform, rng: mixed(waveform, music(rng, len(waveform)), 10),
        "by telephone": lambda waveform, rng: telephone(waveform),
        "20 dB softer": lambda waveform, rng: gain(waveform, -20),
        "40 dB softer": lambda waveform, rng: gain(waveform, -40),
    }


def _note(frequency: float, length: int, brightness: float, rng: np.random.Generator) -> np.ndarray:
    """One note of a plucked or bowed instrument: harmonics that fall by a factor, and an envelope."""
    time = np.arange(length) / SAMPLE_RATE
    most = min(24, int(SAMPLE_RATE / 2 / frequency))
    phases = 2 * np.pi * rng.random(most)
    tone = sum(
        brightness**number * np.sin(2 * np.pi * frequency * number * time + phases[number - 1])
        for number in range(1, most + 1)
    )
    return tone * np.minimum(time / 0.01, 1) * np.exp(-time * rng.uniform(0.5, 6))


def _drum(number: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """A low drum on every other beat, a snare between, a cymbal on all."""
    time = np.arange(length) / SAMPLE_RATE
    hiss = rng.standard_normal(length)
    cymbal = 0.6 * lfilter([1, -0.95], [1], hiss) * np.exp(-time * 40)
    if number % 2:
        return cymbal + 1.5 * hiss * np.exp(-time * 25)
    return cymbal + 4 * np.sin(2 * np.pi * (50 * time + 30 * (1 - np.exp(-time * 30)) / 30)) * np.exp(-time * 12)
