"""Type what they should say: espeak-ng speaks it, in a process of its own.

espeak-ng is a separate program under the GPL-3 and optional: the wheel espeakng-loader carries it, and the page works
without it. Notable choices (all ours):
- A C library that reads what strangers write runs beside the page and not in it: if it crashes or hangs, one visitor is
  told so and the page goes on.
- That process stays and takes one text after the other. A new one for every text would cost more than a second for
  its imports, the speaking itself about 0.02 s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import unicodedata
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from humo.media import MIN_SECONDS, SILENCE, Sound, read_sound

MAX_TEXT = 500
"""Characters."""
RATES, PITCHES = (80, 450), (0, 99)
"""Lowest and highest words a minute, and pitch; 50 is the voice's own."""
PATIENCE, START_PATIENCE = 30.0, 120.0
"""Seconds for one text, and for the process to begin."""
MISSING = "Speaking needs the package espeakng-loader (GPL-3): pip install espeakng-loader, or upload a voice instead."

_ROOT = Path(__file__).parents[2]
_ENGLISH = {"American English": "en-us", "British English": "en-gb-x-rp"}
_OTHERS = {"German": "de", "French": "fr", "Spanish": "es", "Italian": "it", "Portuguese": "pt-br", "Dutch": "nl",
           "Polish": "pl", "Swedish": "sv"}  # fmt: skip
_VARIANTS = {"woman": ("f1", "f2", "f3", "f4", "f5"), "man": ("m1", "m2", "m3", "m4", "m5", "m6", "m7")}


def _voices(languages: dict[str, str], most: int) -> dict[str, str]:
    return {
        f"{language}, {who} {number}": f"{code}+{variant}"
        for language, code in languages.items()
        for who, variants in _VARIANTS.items()
        for number, variant in enumerate(variants[:most], start=1)
    }


VOICES = _voices(_ENGLISH, most=7) | _voices(_OTHERS, most=3)
"""espeak-ng's name by plain name. Mini learned from the English ones; it follows a sound in any language."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken text."""

    path: Path
    """WAV, mono, 16 kHz."""
    sound: Sound


def is_available() -> bool:
    """Whether the package that speaks is installed."""
    return find_spec("espeakng_loader") is not None


class Speaker:
    """Speaks texts in a process of its own, one at a time; threads may share it."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Set up without starting anything.

        Args:
            patience: seconds that a text may take.
        """
        self.patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def speak(
        self,
        text: str,
        folder: Path,
        voice: str = next(iter(VOICES)),
        rate: int = 165,
        pitch: int = 50,
        max_seconds: float | None = None,
    ) -> Spoken:
        """Speak a text into a new file.

        Args:
            text: up to 500 characters.
            folder: for the file; existing.
            voice: a key of `VOICES`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 99.
            max_seconds: longest sound, None for no limit.

        Raises:
            ValueError: in one sentence, if the package is missing, anything is not as above, nothing in the text can
                be spoken, or it takes longer than `max_seconds`.
        """
        text = check_text(text)
        _check_choice(voice, rate, pitch)
        if not is_available():
            raise ValueError(MISSING)
        handle, name = tempfile.mkstemp(prefix="said-", suffix=".wav", dir=folder)
        os.close(handle)
        try:
            how = {"voice": VOICES[voice], "rate": rate, "pitch": pitch}
            _check_length(self._ask({"text": text, "path": os.path.abspath(name), **how}), max_seconds)
            return Spoken(Path(name), read_sound(name))
        except BaseException:
            os.unlink(name)
            raise

    def close(self) -> None:
        """End the process; the next text starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: dict) -> dict:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            answer = self._exchange(json.dumps(question).encode() + b"\n", self.patience)
        if answer is None:
            raise ValueError("The voice broke off at this text: change it a little and try again.")
        return answer

    def _begin(self) -> None:
        self._end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT,
            start_new_session=True,  # Ctrl+C is for the page, whose end is the end of the input here
        )  # fmt: skip
        if self._exchange(b"", START_PATIENCE) is None:
            raise ValueError("The voice could not be started: reinstall espeakng-loader, or upload a voice instead.")

    def _exchange(self, line: bytes, patience: float) -> dict | None:
        """The answer to a line; None if the process died or had to be ended."""
        timer = threading.Timer(patience, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = b""
        finally:
            timer.cancel()
        if not answer:
            self._end()
        return json.loads(answer) if answer else None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def check_text(text: object) -> str:
    """A text that can be spoken, on one line.

    Raises:
        ValueError: in one sentence, if it is empty, too long, or has nothing that a voice can say.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError("The text is empty: write what they should say.")
    if len(text) > MAX_TEXT:
        raise ValueError(f"The text has {len(text):,} characters but at most {MAX_TEXT} are allowed: shorten it.")
    # What cannot be printed is no text: a zero byte would end it, half a surrogate cannot be sent.
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if not any(letter.isdecimal() or unicodedata.name(letter, "").startswith("LATIN") for letter in text):
        raise ValueError("The text has nothing that these voices can say: write it in Latin letters.")
    return text


def _check_choice(voice: object, rate: object, pitch: object) -> None:
    if voice not in VOICES:
        raise ValueError(f"voice is {voice!r}: choose one of the list, such as {next(iter(VOICES))!r}.")
    for name, value, (low, high) in (("rate", rate, RATES), ("pitch", pitch, PITCHES)):
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}: choose a whole number from {low} to {high}.")


def _check_length(answer: dict, longest: float | None) -> None:
    if "error" in answer:
        raise ValueError(answer["error"])
    seconds = answer["seconds"]
    if seconds < MIN_SECONDS or answer["peak"] < SILENCE:
        raise ValueError("The text has nothing that this voice can say: write a word or two more.")
    if longest is not None and seconds > longest:
        raise ValueError(
            f"The text takes {seconds:.1f} s to say but at most {longest:.1f} are allowed: shorten it or speak faster."
        )


_SPEAKER = Speaker()


def speak_to_file(
    text: str, voice: str, rate: int, folder: Path, pitch: int = 50, max_seconds: float | None = None
) -> Path:
    """The file of a spoken text, from the one speaker that all visitors share; see `Speaker.speak`."""
    return _SPEAKER.speak(text, folder, voice, rate, pitch, max_seconds).path


def _serve() -> None:
    """The other process: a question a line in, an answer a line out, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the library prints must not look like an answer
    import numpy as np
    import soundfile

    from humo.world.speech import SAMPLE_RATE, speak

    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        path = question.pop("path")
        try:
            speech = speak(**question)
            soundfile.write(path, speech.waveform, SAMPLE_RATE, subtype="PCM_16")
            answer = {"seconds": speech.duration, "peak": float(np.abs(speech.waveform).max())}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
