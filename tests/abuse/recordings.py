"""Recordings as people have them: what is in each, how it is made, and what has to be heard.

Every coding in every container, at every rate, in several channels; from a pipe, cut off, of several files, with tags,
beside a picture that begins earlier or later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from containers import HEADERLESS, READ, REFUSED, encoders, muxers, pairs
from hearing import BASE, SECONDS, Truth

Change = Callable[[list[bytes]], bytes]
"""From files to one."""
ASKED = r"give a WAV, FLAC, OGG, MP3 or M4A sound\."
UNKNOWN = rf"has no sound inside that we know: {ASKED}"
NOTHING = rf"has no sound that can be decoded: {ASKED}"
DAMAGED = r"is damaged and cannot be decoded: save it again as WAV\."
UNDECODABLE = r"holds [\w ]+ sound, which we cannot decode: convert it to WAV or M4A\."
SHORT = r"lasts 0\.\d\d s, at least 0\.2 s are needed: give a longer one\."
SENTENCES = (UNKNOWN, NOTHING, DAMAGED, UNDECODABLE, SHORT)
"""Everything that may be said of a file that is not read, after its name."""
RATES = {"libopencore_amrnb": 8_000, "g723_1": 8_000, "real_144": 8_000, "nellymoser": 44_100, "adpcm_swf": 44_100}
"""Hz of codings that do not take 48,000."""
_RATES_IN = {"flv": 44_100, "mmf": 8_000, "avm2": 44_100, "swf": 44_100, "voc": 8_000}
"""Hz of containers that do not."""
CHANNELS = {
    "mono": ("v", 0.0),
    "stereo": ("vv", 0.0),
    "left": ("v.", -6.02),
    "inverted": ("vi", 0.0),
    "quad": ("vv..", -6.02),
    "5.1, centre": ("..v...", 0.0),
    "5.1, front": ("vvv...", -6.02),
    "7.1, centre": ("..v.....", 0.0),
}
"""Which channels have the voice (v), which have it upside down (i), and how many decibels the mean of all loses."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to be made and what has to be heard of it."""

    container: str
    """ffmpeg's muxer."""
    codec: str
    """ffmpeg's encoder."""
    how: str = "whole"
    rate: int = BASE
    channels: str = "mono"
    picture: str = ""
    """Encoder of a moving picture beside it, or "cover"; none by default."""
    late: float = 0.0
    """Seconds by which the sound starts after the picture; below 0, the picture after the sound."""
    options: tuple[str, ...] = ()
    is_piped: bool = False
    seeds: tuple[int, ...] = (0,)
    """Of the voices; each becomes a file."""
    change: Change | None = None
    share: float = 1.0
    """Of the bytes that are kept."""
    truth: Truth = Truth()
    says: str = ""
    """Expression for what is said of it, if it is not read."""

    @property
    def can_be_made(self) -> bool:
        """Whether the ffmpeg that is installed writes it."""
        return self.container in muxers() and self.codec in encoders()

    @property
    def name(self) -> str:
        rate = "" if self.rate == BASE else f", {self.rate} Hz"
        channels = "" if self.channels == "mono" else f", {self.channels}"
        return f"{self.container}, {self.codec}, {self.how}{rate}{channels}"


KEPT = 0.75
"""Share of the bytes of files that are cut off."""


def recordings() -> Iterator[Recording]:
    """All of them."""
    for part in (_whole, _refused, _rates, _channels, _piped, _fragments, _cut, _joined, _tagged, _beside_a_picture):
        yield from part()


def recording(container: str, codec: str, **changes: object) -> Recording:
    """With the rate and the channels that these take."""
    rate = RATES.get(codec, _RATES_IN.get(container, BASE))
    if container == "flv" and codec in ("pcm_alaw", "pcm_mulaw"):
        rate = 8_000
    channels = "stereo" if codec in ("vorbis", "s302m") else "mono"
    return replace(Recording(container, codec, rate=rate, channels=channels), **changes)


def usual(container: str) -> str:
    """The coding that a container mostly has."""
    return READ[container].split()[0]


def _whole() -> Iterator[Recording]:
    for container, codec in pairs(READ):
        says = ""
        if codec in ("aac", "libvorbis") and container in ("wav", "w64"):
            says = DAMAGED if codec == "aac" else SHORT  # ffmpeg leaves out what their decoders need
        if codec.startswith("wmav") and container == "mov":
            says = DAMAGED
        yield recording(container, codec, says=says)


def _refused() -> Iterator[Recording]:
    for container, codec in pairs(REFUSED):
        yield recording(container, codec, says=UNKNOWN)
    for container, codec in pairs(HEADERLESS):
        yield recording(container, codec, says=f"{UNKNOWN}|{DAMAGED}")


def _rates() -> Iterator[Recording]:
    every = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 88_200, 96_000, 176_400, 192_000)
    for container, codec, highest in (
        ("wav", "pcm_s16le", 192_000),
        ("flac", "flac", 192_000),
        ("mov", "alac", 192_000),
        ("wv", "wavpack", 192_000),
        ("ogg", "libvorbis", 192_000),
        ("adts", "aac", 96_000),
        ("ipod", "aac", 96_000),
        ("mp3", "libmp3lame", 44_100),
        ("asf", "wmav2", 44_100),
        ("avi", "adpcm_ima_wav", 96_000),
        ("matroska", "aac", 96_000),
        ("caf", "pcm_s16le", 192_000),
    ):
        for rate in every:
            if rate <= highest:
                yield recording(container, codec, how="at a rate", rate=rate)
    for rate in (8_000, 12_000, 16_000, 24_000):
        for container in ("ogg", "webm", "mpegts"):
            yield recording(container, "libopus", how="at a rate", rate=rate)


def _channels() -> Iterator[Recording]:
    exact = (("wav", "pcm_s16le"), ("aiff", "pcm_s16be"), ("caf", "pcm_s16le"), ("flac", "flac"), ("wv", "wavpack"))
    many = (("tta", "tta"), ("ogg", "libvorbis"), ("ogg", "libopus"), ("webm", "libopus"))
    few = (("mov", "alac"), ("adts", "aac"), ("mp4", "aac"), ("ac3", "ac3"), ("eac3", "eac3"), ("dts", "dca"))
    two = (("mp3", "libmp3lame"), ("asf", "wmav2"), ("wav", "adpcm_ms"))
    for channels, (voices, gain) in CHANNELS.items():
        takers = {2: exact + many + few + two, 4: exact, 6: exact + many + few, 8: exact + many}.get(len(voices), ())
        for container, codec in takers:
            yield recording(container, codec, how="channels", channels=channels, truth=Truth(gain=gain))


def _piped() -> Iterator[Recording]:
    seekable = ("3gp", "3g2", "ipod", "mov", "mp4", "f4v", "ismv", "tta", "amr")
    for container in READ:
        if container not in seekable:
            yield recording(container, usual(container), how="piped", is_piped=True)
    yield recording("mp3", "libmp3lame", how="piped, of varying rate", is_piped=True, options=("-q:a", "4"))
    yield recording("mp3", "libmp3lame", how="without a table", options=("-write_xing", "0", "-q:a", "4"))


def _fragments() -> Iterator[Recording]:
    parts = ("-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "200000")
    for container in ("mp4", "mov", "ipod", "3gp"):
        yield recording(container, "aac", how="in fragments", is_piped=True, options=parts)
    yield recording("mp4", "libopus", how="in fragments", is_piped=True, options=parts)
    yield recording("mp4", "aac", how="index first", options=("-movflags", "faststart"))
    for codec in ("ac3", "dca", "pcm_bluray", "truehd"):
        yield recording("mpegts", codec, how="of a camcorder", options=("-mpegts_m2ts_mode", "1"))
    yield recording("wav", "pcm_s16le", how="RF64", options=("-rf64", "always"))


def _cut() -> Iterator[Recording]:
    for container in READ:
        says = DAMAGED if container in ("3gp", "3g2", "ipod", "mov", "mp4", "f4v") else ""  # their index is at the end
        options = ("-page_duration", "100000") if READ[container].startswith("libvorbis") else ()
        yield recording(container, usual(container), how="cut off", share=KEPT, says=says, options=options)
    yield recording("mp4", "aac", how="index first, cut off", share=KEPT, options=("-movflags", "faststart"))
    yield recording("ogg", "flac", how="cut off", share=KEPT, options=("-page_duration", "100000"))
    yield recording("mp3", "libmp3lame", how="without a table, cut off", share=KEPT, options=("-write_xing", "0"))


def _joined() -> Iterator[Recording]:
    truth = Truth(voices=((0, 0.0), (1, SECONDS)), seconds=2 * SECONDS, slack=0.05)
    joined = {"seeds": (0, 1), "change": b"".join, "truth": truth}
    for container in READ:
        if container != "wv":  # whose blocks are alike, so that nobody sees where the next file begins
            yield recording(container, usual(container), how="two in one", **joined)
    yield recording("mp3", "libmp3lame", how="two without tables in one", options=("-write_xing", "0"), **joined)
    for codec in ("libopus", "flac"):
        yield recording("ogg", codec, how="two in one", **joined)


def _tagged() -> Iterator[Recording]:
    words = ("-metadata", "title=déjà vu", "-metadata", "comment=" + "word " * 200)
    for container in READ:
        if container not in ("ac3", "eac3", "dts", "adts", "mp2"):
            yield recording(container, usual(container), how="with words", options=words)
    for container in ("mp3", "adts", "flac", "ac3", "tta", "wv", "wav", "aiff", "dts", "mp2"):
        for how, change in (("after an ID3", _after_id3), ("before an ID3 and an APE tag", _before_tags)):
            # ffmpeg takes the last frame of an AC3 for a part of the tag.
            is_short = container == "ac3" and change is _before_tags
            truth = Truth(seconds=SECONDS - 0.02) if is_short else Truth()
            yield recording(container, usual(container), how=how, change=change, truth=truth)
    for container in ("mp3", "ipod", "flac", "aiff"):
        options = ("-write_id3v2", "1") if container == "aiff" else ()
        yield recording(container, usual(container), how="with a cover", picture="cover", options=options)


def _after_id3(files: list[bytes]) -> bytes:
    size = 40_000
    head = b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    text = b"TIT2" + bytes((0, 0, 0, 9)) + b"\0\0" + b"\3a voice\0"
    return head + text.ljust(size, b"\0") + files[0]


def _before_tags(files: list[bytes]) -> bytes:
    def lines(flags: int) -> bytes:
        sizes = (2_000).to_bytes(4, "little") + (51).to_bytes(4, "little") + (1).to_bytes(4, "little")
        return b"APETAGEX" + sizes + flags.to_bytes(4, "little") + bytes(8)

    item = (8).to_bytes(4, "little") + bytes(4) + b"Title\0" + b"a voice."
    ape = lines(0xA0000000) + item.ljust(19, b"\0") + lines(0x80000000)
    return files[0] + ape + b"TAG" + b"a voice".ljust(124, b"\0") + b"\xff"


def _beside_a_picture() -> Iterator[Recording]:
    for container, codec, picture in (
        ("mp4", "aac", "libx264"), ("mov", "pcm_s16le", "libx264"), ("3gp", "aac", "h263"),
        ("matroska", "pcm_s16le", "libx264"), ("matroska", "aac", "libx264"), ("webm", "libopus", "libvpx"),
        ("avi", "pcm_s16le", "mpeg4"), ("avi", "libmp3lame", "mpeg4"), ("flv", "aac", "flv1"),
        ("asf", "wmav2", "wmv2"), ("mpegts", "aac", "mpeg2video"), ("mpegts", "mp2", "mpeg2video"),
        ("mpeg", "mp2", "mpeg1video"), ("vob", "ac3", "mpeg2video"), ("ogv", "libvorbis", "libtheora"),
        ("rm", "ac3", "rv20"),
    ):  # fmt: skip
        for how, late in (("with a picture", 0.0), ("after the picture", 0.5), ("before the picture", -0.5)):
            start = 0.0 if container in ("avi", "rm") else max(late, 0.0)  # ffmpeg writes no times into them
            truth = Truth(voices=((0, start),), seconds=SECONDS + start)
            yield recording(container, codec, how=how, picture=picture, late=late, truth=truth)
