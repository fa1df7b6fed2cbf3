"""Sounds of another writer than ffmpeg: libsndfile, which Python's programs and many editors write with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile
from hearing import Heard, Truth, hear, voice
from recordings import DAMAGED, UNKNOWN

READ = "WAV WAVEX RF64 W64 AIFF AU CAF FLAC OGG MP3 VOC"
RATES = (8_000, 22_050)
_TELEPHONE = ("GSM610", "G721_32", "G723_24")
"""Codings for 8,000 Hz."""
WRONG = {
    ("WAV", "G721_32"): "ffmpeg takes the halves of its bytes in the other order",
    ("WAV", "NMS_ADPCM_16"): "its number in the header is that of AMR to ffmpeg",
    ("WAV", "NMS_ADPCM_24"): "as above",
    ("WAV", "NMS_ADPCM_32"): "as above",
    ("AU", "G723_40"): "ffmpeg decodes it 1.6 dB quieter than libsndfile",
}
"""Not tried, and why: all from telephony of old."""
UNDECODABLE = {"DWVW_16", "DWVW_24"}
"""For which ffmpeg has no decoder."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file to be written, and what has to come of it."""

    form: str
    subtype: str
    rate: int
    says: str

    @property
    def name(self) -> str:
        return f"{self.form} of libsndfile, {self.subtype}, {self.rate} Hz"

    def judge(self, folder: Path) -> Heard | str | None:
        """What is heard of it, or the refusal's sentence; None if libsndfile does not write it."""
        path = folder / "0.bin"
        try:
            soundfile.write(path, voice(self.rate), self.rate, format=self.form, subtype=self.subtype)
        except soundfile.LibsndfileError:
            return None
        return hear(path, Truth())


def sounds() -> Iterator[Written]:
    """All of them."""
    for form in soundfile.available_formats():
        is_read = form in READ.split()
        for subtype in soundfile.available_subtypes(form):
            says = "" if is_read and subtype not in UNDECODABLE else f"{UNKNOWN}|{DAMAGED}"
            if form != "SD2" and (form, subtype) not in WRONG:  # an SD2 is two files
                # A VOC of 8 bits tells its rate by a byte, 22,222 Hz in place of 22,050.
                is_for_8_khz = not is_read or subtype in _TELEPHONE or (form, subtype) == ("VOC", "PCM_U8")
                for rate in RATES[:1] if is_for_8_khz else RATES:
                    yield Written(form, subtype, rate, says)
