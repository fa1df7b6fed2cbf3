"""Speech from espeak-ng (through the wheel espeakng-loader) with the times of its phonemes.

espeak-ng is a separate program under GPL-3; it is called through its C interface, only here, and only by training,
the world's sample sheets and typed speech. Generating a video never needs it.
"""

from __future__ import annotations

import _ctypes
import ctypes
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from humo.system.imports import require
from humo.system.ranges import check_whole
from humo.timing import SAMPLE_RATE

VOICES = tuple(
    f"{accent}+{variant}"
    for accent in ("en-us", "en-gb-x-rp")
    for variant in ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7")
)
RATES, PITCHES = (80, 449), (0, 99)
"""Lowest and highest words a minute and pitch. From 450 on espeak-ng shortens the finished sound, and the times of its
phonemes run backwards."""

_ONE_AT_A_TIME = threading.Lock()
_SYNCHRONOUS, _PHONEME_EVENTS, _NO_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken sentence.

    Attributes:
        waveform: float32 mono at 16 kHz in about -1..1; the resampling may overshoot a little.
        phonemes: (start in seconds, espeak-ng's phoneme name) in order; "" or "_" is a pause.
    """

    waveform: np.ndarray
    phonemes: tuple[tuple[float, str], ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.waveform) / SAMPLE_RATE


class _Synthesizer:
    """An espeak-ng library for one sentence, fresh and seeded.

    The library keeps global state from sentence to sentence (the phase of the melody's flutter) and seeds its noise
    from the clock, so it is loaded anew each time, which costs about 10 ms.
    """

    def __init__(self) -> None:
        require("speech", "espeakng_loader")
        import espeakng_loader

        self._library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 200, data, _PHONEME_EVENTS | _NO_EXIT)
        if self._rate <= 0:
            raise ValueError("espeak-ng did not start: reinstall espeakng-loader")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._samples: list[np.ndarray] = []
        self._phonemes: list[tuple[float, str]] = []
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                self._phonemes.append((event.audio_position / 1000.0, event.id.string.decode("utf-8", "ignore")))
            index += 1
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> Speech:
        self._samples, self._phonemes = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"voice is {voice!r}: use one of {', '.join(VOICES)}.")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        raw = np.concatenate(self._samples) if self._samples else np.zeros(1, np.int16)
        waveform = resample_poly(raw.astype(np.float32) / 32768.0, SAMPLE_RATE, self._rate)
        return Speech(waveform.astype(np.float32), tuple(self._phonemes))

    def close(self) -> None:
        """Unloads the library, and its state with it."""
        self._library.espeak_Terminate()
        unload = getattr(_ctypes, "FreeLibrary", None) or _ctypes.dlclose  # the former on Windows
        unload(self._library._handle)


def speak(text: str, voice: str = VOICES[0], rate: int = 165, pitch: int = 50, pitch_range: int = 50) -> Speech:
    """Speaks a text; the same call gives the same samples, whatever was spoken before.

    Args:
        text: what to say.
        voice: one of `VOICES`.
        rate: words a minute, 80 to 449.
        pitch: 0 to 99.
        pitch_range: how much the melody moves, 0 to 99.

    Returns:
        The waveform with its phonemes.

    Raises:
        ValueError: if espeakng-loader is missing, the voice unknown or a number not as above.
    """
    check_whole("rate", rate, *RATES)
    check_whole("pitch", pitch, *PITCHES)
    check_whole("pitch_range", pitch_range, *PITCHES)
    with _ONE_AT_A_TIME:
        synthesizer = _Synthesizer()
        try:
            return synthesizer.speak(text, voice, rate, pitch, pitch_range)
        finally:
            synthesizer.close()
