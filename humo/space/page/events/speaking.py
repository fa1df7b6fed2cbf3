"""Type what they should say: a voice of `humo.space.page.speakers` speaks it, in a process of its own.

Notable choices (all ours):
- Libraries that read what strangers write run beside the page and not in it: if one crashes or hangs, one visitor is
  told so and the page goes on.
- That process stays and takes one text after the other. A new one for every text would cost more than a second for
  its imports, the speaking itself about 0.02 s (espeak-ng) or 0.1 s (hibari).
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humo.media import MIN_SECONDS, SILENCE, Sound, read_sound
from humo.space.page.speakers import OWN_PITCH, VOICES, Engine, offered
from humo.system.ranges import is_whole

if TYPE_CHECKING:
    import numpy as np

MAX_TEXT = 500
"""Characters."""
PATIENCE, START_PATIENCE = 30.0, 120.0
"""Seconds for one text, and for the process to begin."""
MISSING = "Nothing here can speak: pip install hibari-tts brings a voice, or upload one instead."

_ROOT = Path(__file__).parents[4]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken text."""

    path: Path
    """WAV, mono, 16 kHz."""
    sound: Sound


class Speaker:
    """Speaks texts in a process of its own, one at a time; threads may share it."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Set up without starting anything.

        Args:
            patience: seconds that a text may take.
        """
        self.patience = patience
        self._process: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def speak(
        self,
        text: str,
        folder: Path,
        voice: str | None = None,
        rate: int = 165,
        pitch: int = OWN_PITCH,
        max_seconds: float | None = None,
    ) -> Spoken:
        """Speak a text into a new file.

        Args:
            text: up to 500 characters.
            folder: for the file; existing.
            voice: a name of `humo.space.page.speakers.VOICES`; default: the first whose package is installed.
            rate: words a minute, 80 to 449, hibari's to 320.
            pitch: 0 to 99; hibari has only its own, 50.
            max_seconds: longest sound, None for no limit.

        Raises:
            ValueError: in one sentence, if the package is missing, anything is not as above, nothing in the text can
                be spoken, or it takes longer than `max_seconds`.
        """
        text = check_text(text)
        if voice is None:
            voice = next(iter(offered()), None)
            if voice is None:
                raise ValueError(MISSING)
        _check_choice(voice, rate, pitch)
        chosen = VOICES[voice]
        if not chosen.engine.is_installed():
            raise ValueError(missing(voice, chosen.engine))
        if chosen.engine.is_english:
            check_english(text, voice)
        handle, name = tempfile.mkstemp(prefix="said-", suffix=".wav", dir=folder)
        os.close(handle)
        try:
            how = {"engine": chosen.engine.name, "voice": chosen.code, "rate": rate, "pitch": pitch}
            _check_length(self._ask({"text": text, "path": os.path.abspath(name), **how}), max_seconds)
            return Spoken(Path(name), read_sound(name))
        except BaseException:
            os.unlink(name)
            raise

    def close(self) -> None:
        """End the process; the next text starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
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
            raise ValueError("The voice could not be started: try again, or upload a voice instead.")

    def _exchange(self, line: bytes, patience: float) -> dict[str, Any] | None:
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
    if not any(letter.isdecimal() or _is_latin(letter) for letter in text):
        raise ValueError("The text has nothing that these voices can say: write it in Latin letters.")
    return text


def check_english(text: str, voice: str) -> None:
    """Refuse letters that a voice which reads only English would skip or spell.

    Raises:
        ValueError: in one sentence, if the text has letters of another script.
    """
    foreign = next((letter for letter in text if letter.isalpha() and not _is_latin(letter)), None)
    if foreign is not None:
        raise ValueError(
            f"{voice!r} reads English and cannot say {foreign!r}: write it in Latin letters, or choose another speaker."
        )


def missing(voice: str, engine: Engine) -> str:
    """A sentence on a voice whose package is not installed."""
    return (
        f"{voice!r} needs the package {engine.package} ({engine.licence}): pip install {engine.package}, or choose "
        "another speaker."
    )


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


def _check_choice(voice: object, rate: object, pitch: object) -> None:
    if voice not in VOICES:
        raise ValueError(f"voice is {voice!r}: choose one of the list, such as {next(iter(VOICES))!r}.")
    engine = VOICES[voice].engine
    for name, value, (low, high) in (("rate", rate, engine.rates), ("pitch", pitch, engine.pitches)):
        if not is_whole(value, low, high):
            allowed = f"a whole number from {low} to {high}" if low < high else f"{low}, the only one of this voice"
            raise ValueError(f"{name} is {value!r}: choose {allowed}.")


def _check_length(answer: dict[str, Any], longest: float | None) -> None:
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
    text: str, voice: str | None, rate: int, folder: Path, pitch: int = OWN_PITCH, max_seconds: float | None = None
) -> Path:
    """The file of a spoken text, from the one speaker that all visitors share; see `Speaker.speak`."""
    return _SPEAKER.speak(text, folder, voice, rate, pitch, max_seconds).path


def _serve() -> None:
    """The other process: a question a line in, an answer a line out, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print must not look like an answer
    import numpy as np
    import soundfile

    from humo.timing import SAMPLE_RATE

    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        path, engine = question.pop("path"), question.pop("engine")
        try:
            waveform = _say(engine, **question)
            soundfile.write(path, waveform, SAMPLE_RATE, subtype="PCM_16")
            peak = float(np.abs(waveform).max(initial=0.0))
            answer: dict[str, Any] = {"seconds": len(waveform) / SAMPLE_RATE, "peak": peak}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _say(engine: str, text: str, voice: str, rate: int, pitch: int) -> np.ndarray:
    """A text as sound at 16 kHz; each engine is loaded when it is first asked."""
    if engine == "hibari":
        from humo.world.hibari import speak_english

        return speak_english(text, rate)
    from humo.world.speech import speak

    return speak(text, voice, rate, pitch).waveform


if __name__ == "__main__":
    _serve()
