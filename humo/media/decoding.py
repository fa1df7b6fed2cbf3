"""Decodes the sound of a file to its true end, in a process of its own: ffmpeg, as imageio-ffmpeg brings it.

Headers promise too much, too little or nothing: a FLAC from a pipe says 0 samples, an MP3 of varying rate without a
table of contents is estimated by whoever only looks at it. So nothing is believed but what comes out. Whatever time
lies before the sound's first sample in its container, where the picture begins earlier, becomes silence. Later times
count only in files whose times can be relied on; elsewhere all samples follow each other. Ours.
"""

from __future__ import annotations

import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from imageio_ffmpeg import get_ffmpeg_exe

from humo.media.delays import cut_delay, cut_filling, opus_delay

DEMUXERS = {
    "WAV": "wav", "W64": "w64", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3", "AIFF": "aiff", "CAF": "caf", "AU": "au",
    "MP4": "mov", "WEBM": "matroska", "AAC": "aac", "AMR": "amr", "AC3": "ac3", "DTS": "dts", "WMA": "asf",
    "AVI": "avi", "FLV": "flv", "MPEG": "mpeg", "MPEG-TS": "mpegts", "WAVPACK": "wv", "TTA": "tta", "APE": "ape",
    "MUSEPACK": "mpc8", "MUSEPACK SV7": "mpc", "REALAUDIO": "rm", "VOC": "voc",
}  # fmt: skip
"""ffmpeg's reader by the kind of a file (`humo.media.kinds`): no other is tried, so that no playlist is followed."""
PATIENCE = 120
"""Seconds that a sound may take."""
_HEADER = struct.Struct(">4s5I")
"""Of the AU stream that ffmpeg writes: magic, begin of the samples, size, encoding, rate, channels."""
_QUIETLY = ["-nostdin", "-hide_banner", "-nostats", "-v", "verbose"]
_FORMAT = ["-vn", "-sn", "-dn", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
_RESAMPLE = "aresample=async=1:first_pts=0"
_IN_A_ROW = "asetpts=STARTPTS+NB_CONSUMED_SAMPLES/SR/TB"
_TIMED = frozenset(("MP4", "WEBM"))
"""Kinds of files whose times within the sound can be relied on."""
_WRONG_OPUS = 0.001
"""Seconds by which a WebM may differ from Opus itself about what precedes the sound."""
_NO_DECODER = re.compile(r"Decoder \(codec|No decoder|Unknown decoder|Error while opening decoder", re.IGNORECASE)
_GAVE_UP = "Decode error rate"
_LENGTH = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_FAULT = re.compile(r"Error opening input|Invalid data|Error while decoding|Error submitting|misdetection|corrupt")
_START = re.compile(r"start: ([\d.]+)")
_LATE = re.compile(r", start ([\d.]+)")
_CODEC = re.compile(r"Stream #\d+:\d+.*?: Audio: (\w+)")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came out of a file."""

    samples: np.ndarray
    """float32 (samples, channels)."""
    rate: int
    """Hz; 0 if nothing came."""
    codec: str | None
    """ffmpeg's name of the sound's coding; None if the file has no sound."""
    has_decoder: bool
    """Whether ffmpeg knows how to decode that."""
    is_damaged: bool
    """Whether ffmpeg found faults."""


def decode_sound(path: Path, kind: str, seconds: float, most_samples: int) -> Decoded:
    """Decode the sound of a file.

    Args:
        path: of the file.
        kind: what it is, one of `DEMUXERS`.
        seconds: decoding ends there.
        most_samples: samples times channels at which it ends too: silence packs small.

    Raises:
        TimeoutError: if it takes longer than `PATIENCE`.
    """
    arguments = path, kind, seconds, most_samples
    samples, rate, told = _run(*arguments, _RESAMPLE if kind in _TIMED else f"{_IN_A_ROW},{_RESAMPLE}")
    found, begin = _CODEC.search(told), _START.search(told)
    codec, start = found[1] if found else None, float(begin[1]) if begin else 0.0
    if kind == "WEBM" and codec == "opus" and 0 < start < 0.2:
        delay = opus_delay(path)
        if delay is not None and abs(start - delay / 48_000) > _WRONG_OPUS:
            samples, rate, told = _run(*arguments, "anull", "-flags2", "+skip_manual")
            samples = samples[delay:]
    if _GAVE_UP in told and len(samples) < rate * _promised(told) / 2:
        samples = samples[:0]
    if codec and len(samples):
        samples = cut_filling(cut_delay(samples, rate, codec, _is_delay_told(kind, told, start)), path, kind)
    has_decoder = codec != "none" and not _NO_DECODER.search(told)
    return Decoded(samples, rate, codec, has_decoder, bool(_FAULT.search(told)))


def _run(
    path: Path, kind: str, seconds: float, most_samples: int, chain: str, *options: str
) -> tuple[np.ndarray, int, str]:
    """Samples, their rate, and what ffmpeg said; `chain` are its filters."""
    # Only local files: a crafted container may not name addresses.
    given = [*_QUIETLY, "-protocol_whitelist", "file,pipe", "-f", DEMUXERS[kind]]
    command = [get_ffmpeg_exe(), *given, *options, "-i", str(path.resolve()), "-t", f"{seconds:g}"]
    command += ["-fs", str(4 * most_samples + _HEADER.size), "-af", chain, *_FORMAT]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        # psutil is told of the end; subprocess looks every 50 ms, longer than most sounds take.
        with psutil.Popen(command, stdout=out, stderr=log) as process:
            try:
                process.wait(PATIENCE)
            except psutil.TimeoutExpired:
                process.kill()
                raise TimeoutError from None
            except BaseException:  # somebody stops us
                process.kill()
                raise
        samples, rate = _read_au(out)
        log.seek(0)
        return samples, rate, log.read(1 << 16).decode("utf-8", "replace")


def _is_delay_told(kind: str, told: str, start: float) -> bool:
    """Whether the file says what the encoder put in front, so that ffmpeg cuts it off, or begins so much earlier."""
    line = next(line for line in told.splitlines() if _CODEC.search(line))
    begin = _LATE.search(line)
    is_late = begin is not None and float(begin[1]) > start
    return is_late or ", delay " in line or (kind == "MP3" and start > 0)


def _promised(told: str) -> float:
    """Seconds that the file says to last; 0 if it does not."""
    found = _LENGTH.search(told)
    return 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3]) if found else 0.0


def _read_au(file: IO[bytes]) -> tuple[np.ndarray, int]:
    file.seek(0)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return np.zeros((0, 1), np.float32), 0
    _, begin, _, _, rate, channels = _HEADER.unpack(header)
    file.seek(begin)
    samples = np.fromfile(file, ">f4")
    samples = samples[: len(samples) // channels * channels].reshape(-1, channels)
    return samples.astype(np.float32), rate
