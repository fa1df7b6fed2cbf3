"""Writes the README's tables of what is read from what the tests here make and read: python tests/abuse/what_is_read.py

`test_recordings.py` and `test_images.py` show that the tables are true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import images
import libsndfile
import photographs
import strangers
from patches import Shown
from recordings import Recording, recordings

README = Path(__file__).parent.parent.parent / "README.md"
BEGIN, END = "<!-- inputs: python tests/abuse/what_is_read.py -->", "<!-- end of inputs -->"
CONTAINERS = {
    "WAV, RF64, W64": "wav w64",
    "AIFF": "aiff",
    "CAF": "caf",
    "AU": "au",
    "VOC": "voc",
    "FLAC": "flac",
    "WavPack": "wv",
    "TTA": "tta",
    "MP3, MP2": "mp3 mp2",
    "AAC (ADTS)": "adts",
    "AC3, E-AC3": "ac3 eac3",
    "DTS": "dts",
    "AMR": "amr",
    "Ogg, Opus": "ogg oga ogv opus spx",
    "WMA, WMV": "asf",
    "M4A, MP4, MOV, 3GP, F4V": "ipod mp4 mov 3gp 3g2 f4v ismv",
    "WebM, MKV": "webm matroska",
    "AVI": "avi",
    "FLV": "flv",
    "MPEG, VOB": "mpeg vob dvd svcd vcd",
    "TS, MTS": "mpegts",
    "RealMedia": "rm",
}
"""Names of files, and ffmpeg's muxers that write them."""
CODINGS = {
    "PCM": "pcm_", "ADPCM": "adpcm_", "G.722": "g722", "G.723.1": "g723_1", "G.726": "g726", "GSM": "gsm", "AAC": "aac",
    "ALAC": "alac", "FLAC": "flac", "MP3": "libmp3lame", "MP2": "mp2 libtwolame", "Opus": "opus libopus",
    "Vorbis": "vorbis libvorbis", "AC3": "ac3", "E-AC3": "eac3", "DTS": "dca", "AMR": "libopencore_amrnb",
    "WMA": "wmav", "TrueHD": "truehd", "MLP": "mlp", "TTA": "tta", "WavPack": "wavpack", "DFPWM": "dfpwm",
    "Nellymoser": "nellymoser", "RealAudio": "real_144", "SMPTE 302M": "s302m",
}  # fmt: skip
"""Names of codings, and how the names of ffmpeg's encoders begin."""
PICTURES = {
    "PNG": "every colour type and depth, interlaced, transparent, of another exponent, animated",
    "JPEG": "grey, RGB, YCbCr, CMYK, YCCK, progressive, turned by EXIF in all eight ways, several in one (MPO)",
    "WebP": "lossy, lossless, transparent, animated, turned",
    "GIF": "interlaced, transparent, animated",
    "BMP": "1 to 32 bits, run-lengths, bit fields, transparent, the first line first",
    "TIFF": "with Pillow 12 or newer: packed, grey of 8 to 32 bits, CMYK, transparent, several pages",
    "AVIF": "8 and 10 bits, grey, transparent, animated, turned",
    "HEIC": "8 and 10 bits, turned",
}
"""What there is of each kind."""


def table() -> str:
    """The text between the marks."""
    shown = [each for module in (images, photographs, strangers) for each in module.shown()]
    return f"{_sounds(list(recordings()))}\n\n{_pictures(shown)}"


def _sounds(every: list[Recording]) -> str:
    lines = ["| sound in | codings that are read |", "|---|---|"]
    read = {(one.container, one.codec) for one in every if not one.says}
    read |= {(one.form.lower(), "gsm") for one in libsndfile.sounds() if one.subtype == "GSM610" and not one.says}
    for name, containers in CONTAINERS.items():
        encoders = {codec for container, codec in read if container in containers.split()}
        lines.append(f"| {name} | {', '.join(_codings(encoders))} |")
    refused = sum(bool(one.says) for one in every)
    lines += [
        "",
        f"{len(every) - refused} recordings are made by the tests and heard to begin within 20 ms of the truth, to "
        "miss nothing, and to be as loud as they are within 1 dB: at 8 to 192 kHz, mono to 7.1, from a pipe, cut off, "
        f"several in one, tagged, beside a picture that begins earlier or later. {refused} others are refused with the "
        "true reason. A mix of channels that cancel each other, or lose the voice, is heard by one channel.",
    ]
    return "\n".join(lines)


def _codings(encoders: set[str]) -> list[str]:
    """Names of these, in the order of the table."""
    return [
        name
        for name, begins in CODINGS.items()
        if any(encoder.startswith(tuple(begins.split())) for encoder in encoders)
    ]


def _pictures(every: Iterable[Shown]) -> str:
    every = list(every)
    kinds = Counter(one.kind for one in every if not one.says or one.kind == "TIFF")
    lines = ["| picture | of which are read |", "|---|---|"]
    lines += [f"| {name} | {words} |" for name, words in PICTURES.items()]
    lines += [
        "",
        f"{sum(kinds.values())} pictures of known colours are made and read as these, {kinds['PNG']} of them PNG and "
        f"{kinds['JPEG']} JPEG. Colour profiles become sRGB, what is transparent becomes white, an animation is its "
        f"first image. {len(every) - sum(kinds.values())} others, of other kinds, too large or too small, are refused "
        "with the true reason.",
    ]
    return "\n".join(lines)


def written(readme: str, text: str) -> str:
    """The README with the text between its marks."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(written(README.read_text(), table()))
