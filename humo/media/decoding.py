"""Decodes the sound of a file to its true end, in a process of its own: ffmpeg, as imageio-ffmpeg brings it.

Headers promise too much, too little or nothing: a FLAC from a pipe says 0 samples, an MP3 of varying rate without a
table of contents is estimated by whoever only looks at it. So nothing is believed but what comes out. Whatever time
lies before the sound's first sample in its container, where the picture begins earlier, becomes silence. Later times
count only in files whose times can be relied on; elsewhere all samples follow each other. Ours.
"""

from __future__ import annotations

import itertools
import re
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from imageio_ffmpeg import get_ffmpeg_exe

from humo.media.delays import cut_delay, cut_filling, opus_delay, vorbis_lengths
from humo.media.headers import repair_header
from humo.media.kinds import begin_of
from humo.media.parts import begins_of_parts, cut_out

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
_CHAIN = f"asetpts=STARTPTS+NB_CONSUMED_SAMPLES/SR/TB,{_RESAMPLE}"
"""Filters after which all samples follow each other, from the first one's time on."""
_UNSEEN = frozenset(("MPEG-TS", "MPEG", "OGG"))
"""Kinds of files where ffmpeg forgets that a picture begins earlier, as soon as it is left out."""
_CHAINS = {"MP4": _RESAMPLE, "WEBM": _RESAMPLE, **dict.fromkeys(_UNSEEN, "anull")}
"""Of kinds of files whose times within the sound can be relied on, or whose first one cannot."""
_UNCUT = ("-flags2", "+skip_manual")
"""ffmpeg cuts nothing off then, neither in front nor behind."""
_WRONG_OPUS = 0.001
"""Seconds by which ffmpeg's start of a WebM may differ from Opus itself: it counts in the rate of the input."""
_MISJUDGED_VORBIS = 1024
"""Samples at most by which ffmpeg 9.0 errs in the end of a Vorbis that fits in one page of Ogg."""
_MOST_TOLD = 1 << 16
"""Bytes of what ffmpeg says, from its beginning and from its end."""
_NO_DECODER = re.compile(r"Decoder \(codec|No decoder|Unknown decoder", re.IGNORECASE)
_GAVE_UP = "Decode error rate"
_LENGTH = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_FAULT = re.compile(
    r"Error opening input|Error while opening decoder|Invalid data|Error while decoding|Error submitting|misdetection|"
    r"corrupt"
)
_START = re.compile(r"start: ([\d.]+)")
_SOUND_START = re.compile(r"Stream #\d+:\d+.*?: Audio: .*?, start ([\d.]+)")
_DELAY = re.compile(r"Stream #\d+:\d+.*?: Audio: .*?, delay \d+")
"""ffmpeg cuts off what the encoder put in front where the file says it, and then names it."""
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
    begins = begins_of_parts(path, kind)
    joined = _decode_parts(path, kind, seconds, most_samples, begins) if len(begins) > 1 else None
    if joined is not None:
        return joined
    with repair_header(path, kind) as whole:
        return _decode(whole, kind, seconds, most_samples)


def _decode_parts(path: Path, kind: str, seconds: float, most_samples: int, begins: list[int]) -> Decoded | None:
    """All in a row, in the form of the first; None if one of them is no sound by itself."""
    decoded: list[Decoded] = []
    for begin, end in itertools.pairwise([*begins, path.stat().st_size]):
        form = ["-ar", str(decoded[0].rate), "-ac", str(decoded[0].samples.shape[1])] if decoded else []
        with cut_out(path, begin, end) as part:
            decoded.append(_decode(part, kind, seconds, most_samples, form))
        if not len(decoded[-1].samples):
            return None
        seconds -= len(decoded[-1].samples) / decoded[-1].rate
        most_samples -= decoded[-1].samples.size
        if seconds <= 0 or most_samples <= 0:
            break
    return replace(decoded[0], samples=np.concatenate([each.samples for each in decoded]))


def _decode(path: Path, kind: str, seconds: float, most_samples: int, form: Sequence[str] = ()) -> Decoded:
    arguments = path, kind, seconds, most_samples, form
    samples, rate, messages = _run(*arguments, _CHAINS.get(kind, _CHAIN))
    found, begin = _CODEC.search(messages), _START.search(messages)
    codec, start = found[1] if found else None, float(begin[1]) if begin else 0.0
    if kind == "WEBM" and codec == "opus" and 0 < start < 0.2:
        delay = opus_delay(path)
        if delay is not None and abs(start - delay / 48_000) > _WRONG_OPUS:
            samples, rate, messages = _run(*arguments, "anull", *_UNCUT)
            samples = samples[delay:]
    if kind == "CAF" and codec == "alac":  # whose last packet is short; ffmpeg 9.0 cuts it once more
        samples, rate, _ = _run(*arguments, "anull", *_UNCUT)
    if kind == "OGG" and codec == "vorbis":
        block, length = vorbis_lengths(path)
        if 0 < length < len(samples) <= length + _MISJUDGED_VORBIS:
            samples = samples[:length]
        elif length - _MISJUDGED_VORBIS <= len(samples) < length:
            uncut = _run(*arguments, "anull", *_UNCUT)[0][block // 2 :]
            samples = uncut[:length] if len(uncut) >= length else samples
    if _GAVE_UP in messages and len(samples) < rate * promised_seconds(messages) / 2:
        samples = samples[:0]
    if codec and len(samples):
        late = _lateness(messages, start)
        is_told = late > 0 or _DELAY.search(messages) is not None or (kind == "MP3" and start > 0)
        samples = cut_filling(cut_delay(samples, rate, codec, is_told), path, kind)
        if kind in _UNSEEN:
            silence = min(round(late * rate), most_samples // samples.shape[1])
            samples = np.pad(samples, ((silence, 0), (0, 0)))
    has_decoder = codec != "none" and not _NO_DECODER.search(messages)
    return Decoded(samples, rate, codec, has_decoder, bool(_FAULT.search(messages)))


def _run(
    path: Path, kind: str, seconds: float, most_samples: int, form: Sequence[str], chain: str, *options: str
) -> tuple[np.ndarray, int, str]:
    """Samples, their rate, and what ffmpeg said; `chain` are its filters, `form` the wanted rate and channels."""
    # Only local files: a crafted container may not name addresses.
    given = [*_QUIETLY, "-protocol_whitelist", "file,pipe", "-f", DEMUXERS[kind]]
    if begin := begin_of(path):
        given += ["-skip_initial_bytes", str(begin)]
    command = [get_ffmpeg_exe(), *given, *options, "-i", str(path.resolve()), "-t", f"{seconds:g}"]
    command += ["-fs", str(4 * most_samples + _HEADER.size), "-af", chain, *form, *_FORMAT]
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
        return samples, rate, _read_log(log)


def _lateness(messages: str, start: float) -> float:
    """Seconds by which the sound begins after the file does."""
    found = _SOUND_START.search(messages)
    return max(0.0, float(found[1]) - start) if found else 0.0


def promised_seconds(messages: str) -> float:
    """Seconds that a file lasts by its header, from what ffmpeg said; 0 if it does not say."""
    found = _LENGTH.search(messages)
    return 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3]) if found else 0.0


def _read_log(log: IO[bytes]) -> str:
    """What ffmpeg said at first and at last."""
    length = log.seek(0, 2)
    log.seek(0)
    messages = log.read(_MOST_TOLD)
    log.seek(max(log.tell(), length - _MOST_TOLD))
    return (messages + log.read()).decode("utf-8", "replace")


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
