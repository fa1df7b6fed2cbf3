"""A recording whose words are known becomes `Speech`: its phones and their times, by forced alignment.

The world knows the mouth of what espeak-ng says, for espeak-ng tells its phonemes. Of a person's recording, or of
another synthesiser's, pocketsphinx tells them: it finds where the known words lie. Its wheel carries an acoustic model
and a dictionary of American English (CMUdict's phones without stress). The names become espeak-ng's, so that all that
follows (`humo.world.visemes`) is the same. Only training and evaluation need it. Ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from humo.system.imports import require
from humo.timing import SAMPLE_RATE
from humo.world.speech import speak

if TYPE_CHECKING:
    from pocketsphinx import Decoder

SHIFT = 0.02
"""Seconds by which the aligner is early: with this shift its mouths agree best with espeak-ng's own phonemes."""
_LEVEL = 0.1
"""Root mean square at which the aligner listens."""
_PAUSE = 0.1
"""Likelihood of a pause between two words; with pocketsphinx's own, 0.005, a vowel is stretched over it instead."""
_BEAM = 1e-200
"""Share of the best path's likelihood below which a path is given up; one sentence has few."""
_ESPEAK = {
    "AA": "A:", "AE": "a", "AO": "O:", "AW": "aU", "AY": "aI", "EH": "E", "ER": "3:", "EY": "eI", "IH": "I",
    "IY": "i:", "OW": "oU", "OY": "OI", "UH": "U", "UW": "u:", "B": "b", "CH": "tS", "D": "d", "DH": "D", "F": "f",
    "G": "g", "HH": "h", "JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N", "P": "p", "R": "r", "S": "s",
    "SH": "S", "T": "t", "TH": "T", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "Z",
}  # fmt: skip
_VOWELS = frozenset(("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"))
_WEAK = frozenset(("a", "an", "and", "but", "from", "has", "of", "than", "that", "the", "them", "was", "us"))
"""Words that lose their vowel in a sentence; spoken alone they keep it."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone in its place.

    Attributes:
        start, end: seconds.
        name: in ARPAbet; "SIL" in a pause.
        word: that it belongs to.
        index: of the word among all words and pauses.
        score: log-likelihood a frame (10 ms), in the aligner's own units; far below others where the words do not fit.
    """

    start: float
    end: float
    name: str
    word: str
    index: int
    score: float


def align(waveform: np.ndarray, text: str) -> tuple[Phone, ...]:
    """The phones of a recording.

    Args:
        waveform: float mono at 16 kHz, (samples,).
        text: the English words that are said, all of them and in order; digits spelt out.

    Raises:
        ValueError: if the text has no words or one that the dictionary lacks, the words cannot be found in the
            recording, or pocketsphinx is missing.
    """
    words = spoken_words(text)
    if unknown := unknown_words(text):
        raise ValueError(f"the aligner's dictionary lacks {', '.join(unknown)}: spell numbers out, leave names aside.")
    if not words:
        raise ValueError("the text has no words: give what is said.")
    samples = _as_heard(np.asarray(waveform, np.float32))
    phones = _find(_decoder(), samples, words)
    if phones is None:
        raise ValueError(f"the words cannot be found in {len(samples) / SAMPLE_RATE:.2f} s of sound: {text!r}.")
    return phones


def as_phonemes(phones: tuple[Phone, ...]) -> tuple[tuple[float, str], ...]:
    """Phones in espeak-ng's names, as `Speech.phonemes`; a pause follows the last one."""
    if not phones:
        return ()
    phonemes = []
    for number, phone in enumerate(phones):
        name = _ESPEAK.get(phone.name, "_")
        if phone.name == "AH":
            before = sum(other.index == phone.index and other.name in _VOWELS for other in phones[:number])
            name = "V" if _is_stressed(phone.word, before) else "@"
        phonemes.append((phone.start + SHIFT, name))
    return (*phonemes, (phones[-1].end + SHIFT, "_"))


def spoken_words(text: str) -> list[str]:
    """The words of a text as the dictionary writes them: small letters and apostrophes."""
    words = re.sub(r"[^\w']+", " ", text.lower().replace("’", "'")).split()
    stripped = [word if word in _dictionary() else word.strip("'_") for word in words]
    return [word for word in stripped if word]


def unknown_words(text: str) -> list[str]:
    """The words of a text that the dictionary lacks."""
    return [word for word in dict.fromkeys(spoken_words(text)) if word not in _dictionary()]


def _model() -> Path:
    require("alignment", "pocketsphinx")
    import pocketsphinx

    return Path(pocketsphinx.get_model_path()) / "en-us"


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, tuple[str, ...]]:
    """First pronunciation of each word, in ARPAbet."""
    lines = (_model() / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines()
    return {word: tuple(phones) for word, *phones in map(str.split, lines) if phones}


def _find(decoder: Decoder, samples: np.ndarray, words: list[str]) -> tuple[Phone, ...] | None:
    """Finds first the words, then the phones within them."""
    try:
        decoder.set_align_text(" ".join(words))
        _decode(decoder, samples)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _decode(decoder, samples)
        alignment = decoder.get_alignment()
    except RuntimeError:
        return None
    return (
        tuple(
            Phone(
                start=phone.start / 100,
                end=(phone.start + phone.duration) / 100,
                name=phone.name,
                word=re.sub(r"\(\d+\)$", "", word.name),
                index=index,
                score=phone.score / max(phone.duration, 1),
            )
            for index, word in enumerate(alignment or ())
            for phone in word
        )
        or None
    )


def _decoder() -> Decoder:
    """A new decoder, in a tenth of a second: one that was used finds other phones in the same sound."""
    from pocketsphinx import Decoder

    model = _model()
    return Decoder(
        hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), lm=None, loglevel="FATAL",
        bestpath=False, fwdflat=False, beam=_BEAM, pbeam=_BEAM, wbeam=_BEAM, silprob=_PAUSE,
    )  # fmt: skip


def _decode(decoder: Decoder, samples: np.ndarray) -> None:
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()


def _as_heard(waveform: np.ndarray) -> np.ndarray:
    """int16 at a usual level, with noise of one step: after digital silence the aligner loses the words that follow."""
    sounding = waveform[np.abs(waveform) > 0.02 * np.abs(waveform).max(initial=0.0)].astype(np.float64)
    level = float(np.sqrt((sounding**2).mean())) if len(sounding) else 0.0
    scaled = waveform * (_LEVEL / max(level, 1e-9)) * 32767.0
    noise = np.random.default_rng(0).integers(-1, 2, len(scaled))
    return np.clip(np.round(scaled) + noise, -32768, 32767).astype(np.int16)


@lru_cache(maxsize=4096)
def _is_stressed(word: str, vowel: int) -> bool:
    """Whether the vowel AH of a word, counted from 0, is the one of "cup" rather than of "sofa": espeak-ng knows."""
    if word in _WEAK:
        return False
    vowels = [name.strip("',") for _, name in speak(word).phonemes]
    vowels = [name for name in vowels if name[:1] in tuple("aAeEiIoO0uUV@3")]
    expected = sum(name in _VOWELS for name in _dictionary().get(word, ()))
    if len(vowels) == expected and vowel < expected:
        return vowels[vowel] == "V"
    return expected == 1
