"""Reads sounds: as they are given, for the video to play, and as the model hears them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from humo.media.decoding import DEMUXERS, Decoded, decode_sound
from humo.media.file_cache import FileCache, file_stamp
from humo.media.kinds import existing_file, kind_of
from humo.media.mixing import mix_to_mono
from humo.system.ranges import short
from humo.timing import SAMPLE_RATE

MIN_SECONDS, MAX_SECONDS = 0.2, 600.0
"""A sound lasts at least the first and less than the second."""
MIN_RATE, MAX_RATE = 8_000, 192_000
"""Hz."""
MAX_CHANNELS = 8
MAX_SAMPLES = 80_000_000
"""Samples times channels; keeps a decoded sound under 320 MB."""
SILENCE = 1e-3
"""Peak below which a sound counts as silent (-60 dB of full scale)."""
LOUDEST = 100.0
"""Peak of a sound, where full scale is 1; floats can be so loud that nobody can reckon with them."""
_SPARE = 0.5
"""Seconds that are decoded beyond those that are asked for: what encoders put in front is cut off (`delays`)."""
_ASKED = "give a WAV, FLAC, OGG, MP3 or M4A sound"
_UNREADABLE = ("SILK",)
"""Kinds of sound for which ffmpeg has no decoder: what a messenger keeps of voices."""
_WHOLE = {np.dtype(np.uint8): 128.0, np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
"""Full scale of samples that are whole numbers; bytes lie around 128."""
_GIVE = "give (samples, rate) with samples of the shape (samples,) or (samples, channels)"


@dataclass(frozen=True)
class Sound:
    """A checked sound: what the model hears and what the video plays."""

    waveform: np.ndarray
    """Mono at 16 kHz, float32 (samples,), about [-1, 1]."""
    original: np.ndarray
    """As given, float32 (samples, channels), about [-1, 1]."""
    rate: int
    """Hz of `original`."""
    is_levelled: bool = False
    """Whether `waveform` has the level at which the model hears best (`humo.media.loudness`)."""
    notes: tuple[str, ...] = ()
    """What the listener should know, in sentences."""

    @property
    def duration(self) -> float:
        """Length of the given sound in seconds."""
        return len(self.original) / self.rate

    def shifted(self, milliseconds: int) -> Sound:
        """The same sound, of which the model hears everything later, or earlier below 0; what is played stays."""
        if milliseconds == 0:
            return self
        samples = round(milliseconds * SAMPLE_RATE / 1000)
        return replace(self, waveform=np.pad(self.waveform[max(0, -samples) :], (max(0, samples), 0)))

    def copy(self) -> Sound:
        """The same with samples of its own."""
        return replace(self, waveform=self.waveform.copy(), original=self.original.copy())


_READ: FileCache[Sound] = FileCache(most=16, most_bytes=64 << 20)
"""A minute of stereo at 48 kHz takes 27 MB; what lasts two and a half is not kept."""


def read_sound(sound: str | Path | tuple[Any, Any] | Mapping[str, Any] | Sound) -> Sound:
    """Read and check a sound.

    Args:
        sound: a path of a file with sound in it (WAV, FLAC, OGG, MP3, AIFF, M4A, MP4, WebM, CAF, WMA, AMR, ...); or
            samples and their rate in Hz, in this order or the other, or as {"array": ..., "sampling_rate": ...}.
            Samples are (samples,), (samples, channels) or (channels, samples), floats in about [-1, 1] or int16, int32
            or uint8. One that is already read is taken as it is, so that a part of a sound may be silent.

    Returns:
        The sound as the model hears it and as it was given.

    Raises:
        ValueError: if it is missing, empty, not a sound by its content, damaged, silent, under 0.2 s,
            10 minutes or longer, of more than 8 channels, or at a rate outside 8 to 192 kHz.
    """
    if isinstance(sound, Sound):
        return sound
    if isinstance(sound, Mapping):
        return _read_mapping(sound)
    if isinstance(sound, tuple | list):
        return _read_pair(sound)
    if not isinstance(sound, str | Path):
        raise ValueError(f"sound is a {type(sound).__name__}: give the path of a file, or (samples, rate).")
    path = existing_file(sound, "sound")
    mark, name = file_stamp(path), f"sound {path.name}"
    if known := _READ.find(mark):
        return known.copy()
    try:
        decoded = _decode(path, name, MAX_SECONDS + 1)
    except TimeoutError:
        raise ValueError(f"{name} takes too long to decode: save it again as WAV.") from None
    read = _checked(decoded.samples, decoded.rate, name)
    is_kept = _READ.keep(mark, read, read.waveform.nbytes + read.original.nbytes)
    return read.copy() if is_kept else read


def read_waveform(path: Path, seconds: float) -> np.ndarray:
    """Hear the beginning of a file as the model does, for whoever reads many; it may be silent or short.

    Args:
        path: as of `read_sound`.
        seconds: at most.

    Returns:
        Mono at 16 kHz, float32 (samples,).

    Raises:
        ValueError: if it is missing, empty, not a sound by its content, or damaged.
        TimeoutError: if it takes longer than `humo.media.decoding.PATIENCE`.
    """
    path = existing_file(path, "sound")
    name = f"sound {path.name}"
    decoded = _decode(path, name, seconds + _SPARE)
    _check_numbers(decoded.samples, name)
    return hear_samples(decoded.samples, decoded.rate)[: round(seconds * SAMPLE_RATE)]


def _decode(path: Path, name: str, seconds: float) -> Decoded:
    kind = kind_of(path)
    if kind in _UNREADABLE:
        raise ValueError(f"{name} holds {kind} sound, which we cannot decode: convert it to WAV or M4A.")
    if kind not in DEMUXERS:
        found = "has no sound inside that we know" if kind == "unknown" else f"holds {kind} data, not a sound"
        raise ValueError(f"{name} {found}: {_ASKED}.")
    decoded = decode_sound(path, kind, seconds, MAX_SAMPLES + 1)
    _check_decoded(decoded, name)
    return decoded


def _check_decoded(decoded: Decoded, name: str) -> None:
    if decoded.rate and len(decoded.samples):
        return
    if decoded.codec is None and not decoded.is_damaged:
        raise ValueError(f"{name} has no sound that can be decoded: {_ASKED}.")
    if decoded.codec is not None and not decoded.has_decoder:
        coding = decoded.codec.upper().replace("_", " ")
        raise ValueError(f"{name} holds {coding} sound, which we cannot decode: convert it to WAV or M4A.")
    if decoded.is_damaged:
        raise ValueError(f"{name} is damaged and cannot be decoded: save it again as WAV.")
    raise ValueError(f"{name} is empty, it has no samples: give one of {MIN_SECONDS} s or more.")


def _read_mapping(sound: Mapping[str, Any]) -> Sound:
    if not {"array", "sampling_rate"} <= set(sound):
        raise ValueError(f"sound is a dictionary without array and sampling_rate: {_GIVE}.")
    return _read_pair((sound["array"], sound["sampling_rate"]))


def _read_pair(pair: tuple[Any, ...] | list[Any]) -> Sound:
    if len(pair) != 2:
        raise ValueError(f"sound is a {type(pair).__name__} of {len(pair)} things: {_GIVE}.")
    samples, rate = pair
    if np.ndim(samples) == 0 and np.ndim(rate) > 0:  # as scipy and gradio have it
        samples, rate = rate, samples
    return _read_samples(np.asarray(samples), _read_rate(rate))


def _read_rate(rate: Any) -> int:
    try:
        whole = int(rate)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the sound's rate is {short(rate)}: {_GIVE}.") from None
    if whole != rate:
        raise ValueError(f"the sound's rate is {short(rate)}: give a whole number of Hz.")
    return whole


def _read_samples(samples: np.ndarray, rate: int) -> Sound:
    if samples.ndim not in (1, 2):
        raise ValueError(f"sound has the shape {samples.shape}: {_GIVE}.")
    if samples.dtype in _WHOLE:
        full = _WHOLE[samples.dtype]
        samples = (samples.astype(np.float64) - (full if samples.dtype == np.uint8 else 0.0)) / full
    if samples.dtype.kind != "f":
        raise ValueError(f"the sound's samples are {samples.dtype}: give floats in [-1, 1], or int16, int32 or uint8.")
    samples = samples[:, None] if samples.ndim == 1 else samples
    if len(samples) <= MAX_CHANNELS < samples.shape[1]:  # (channels, samples), as torch has it
        samples = samples.T
    return _checked(np.ascontiguousarray(samples, np.float32), rate, "sound")


def _checked(samples: np.ndarray, rate: int, name: str) -> Sound:
    _check_size(len(samples), samples.shape[1], rate, name)
    _check_numbers(samples, name)
    peak = np.abs(samples).max()
    if peak < SILENCE:
        raise ValueError(f"{name} is silent: give one in which somebody speaks.")
    if peak > LOUDEST:
        raise ValueError(f"{name} is {peak:.0e} times too loud, its samples must be within ±1: save it as 16-bit WAV.")
    heard, note = mix_to_mono(samples)
    return Sound(_resample(heard, rate), samples, rate, notes=() if note is None else (note,))


def _check_numbers(samples: np.ndarray, name: str) -> None:
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} contains invalid numbers (NaN or infinity): save it again as 16-bit WAV.")


def _check_size(num_samples: int, channels: int, rate: int, name: str) -> None:
    if channels > MAX_CHANNELS:
        raise ValueError(f"{name} has {channels} channels, at most {MAX_CHANNELS} are allowed: mix it down to stereo.")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(
            f"{name} has a sample rate of {short(rate)} Hz, allowed are 8000 to 192000: convert it to 48000."
        )
    seconds = num_samples / rate
    if seconds < MIN_SECONDS:
        raise ValueError(f"{name} lasts {seconds:.2f} s, at least {MIN_SECONDS} s are needed: give a longer one.")
    if seconds >= MAX_SECONDS:
        raise ValueError(f"{name} lasts {MAX_SECONDS / 60:.0f} minutes or more, less is allowed: cut it.")
    if num_samples * channels > MAX_SAMPLES:
        raise ValueError(
            f"{name} holds more than {MAX_SAMPLES // 10**6} million samples, at most so many are allowed: save it with "
            "fewer channels or at 48000 Hz."
        )


def hear_samples(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (samples, channels) as the model hears them, mono at 16 kHz, float32 (samples,); they may be silent."""
    return _resample(mix_to_mono(samples)[0], rate)


def _resample(mono: np.ndarray, rate: int) -> np.ndarray:
    """To 16 kHz, float32 (samples,)."""
    if rate == SAMPLE_RATE:
        return mono
    import soxr  # 16 kHz sounds never need it

    resampled = np.asarray(soxr.resample(mono, rate, SAMPLE_RATE), np.float32)
    length = math.ceil(len(mono) * (SAMPLE_RATE / rate))  # samples that have begun count, as in librosa's
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))


def warm_up() -> None:
    """Import what the first sound needs, and resample one; for servers, while nobody waits."""
    import scipy.ndimage  # of `voice_activity`
    import scipy.signal  # noqa: F401 (of `loudness`)

    _resample(np.ones(8_000, np.float32), 8_000)
