"""humo.space.speaking: typed texts become voices, in a process of their own that may die.

Run: python -m pytest tests/test_speaking.py
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest

from humo.space import speaking
from humo.space.speaking import MAX_TEXT, VOICES, Speaker, check_text, is_available, speak_to_file
from humo.world.speech import SAMPLE_RATE, speak
from humo.world.speech import VOICES as WORLD_VOICES


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    with Speaker() as speaker:
        yield speaker


def test_voices_have_plain_names_and_mini_knows_the_english_ones() -> None:
    english = {voice for name, voice in VOICES.items() if "English" in name}
    assert english == set(WORLD_VOICES)
    assert len(set(VOICES.values())) == len(VOICES) and list(VOICES)[0] == "American English, woman 1"
    assert {name.split(",")[0] for name in VOICES} >= {"German", "French", "Spanish"}


def test_a_text_is_spoken_as_the_world_speaks_it(speaker: Speaker, tmp_path: Path) -> None:
    spoken = speaker.speak("we saw the moon", tmp_path, "British English, man 2", rate=140, pitch=40)
    expected = speak("we saw the moon", "en-gb-x-rp+m2", 140, 40)
    assert spoken.path.parent == tmp_path and spoken.path.suffix == ".wav"
    assert spoken.sound.rate == SAMPLE_RATE and spoken.sound.original.shape == (len(expected.waveform), 1)
    np.testing.assert_allclose(spoken.sound.waveform, np.clip(expected.waveform, -1, 1), atol=1e-4)


def test_every_language_has_a_voice_of_its_own(speaker: Speaker, tmp_path: Path) -> None:
    first = {name.split(",")[0]: name for name in reversed(VOICES)}
    said = {speaker.speak("hello everybody", tmp_path, name).sound.waveform.tobytes() for name in first.values()}
    assert len(said) == len(first) == 10


def test_rate_and_pitch_are_heard(speaker: Speaker, tmp_path: Path) -> None:
    slow, fast = (speaker.speak("we saw the moon", tmp_path, rate=rate).sound.duration for rate in (100, 220))
    assert slow > 1.4 * fast
    low, high = (speaker.speak("aaah", tmp_path, pitch=pitch).sound.waveform for pitch in (0, 99))
    crossings = [np.mean(np.diff(np.sign(wave[np.abs(wave) > 0.01])) != 0) for wave in (low, high)]
    assert crossings[1] > crossings[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        (None, "is empty"),
        (7, "is empty"),
        ("a" * (MAX_TEXT + 1), "501 characters but at most 500"),
        ("!!! ...", "nothing that these voices can say"),
        ("中文", "Latin letters"),
        ("\x00\ud800", "Latin letters"),
    ],
)
def test_what_cannot_be_spoken_is_a_sentence(text: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        check_text(text)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_odd_texts_are_cleaned_and_spoken(speaker: Speaker, tmp_path: Path) -> None:
    assert check_text(" one\ntwo\x00three \ud800 ") == "one two three"
    for text in ("<speak><b>hi</b></speak>", "[[h@l'oU]] hello", "1984", "x" * MAX_TEXT, 'quo"tes \\ {}', "½ naïve 🙂"):
        assert speaker.speak(text, tmp_path).sound.duration > 0.2


def test_too_long_and_wrong_choices_leave_no_file(speaker: Speaker, tmp_path: Path) -> None:
    for changes, words in [
        ({"max_seconds": 1.0}, "at most 1.0 are allowed: shorten it or speak faster"),
        ({"voice": "en-us+f1"}, "choose one of the list"),
        ({"rate": 1000}, "rate is 1000: choose a whole number from 80 to 450"),
        ({"rate": 100.5}, "whole number"),
        ({"pitch": -1}, "pitch is -1"),
        ({"pitch": None}, "pitch is None"),
    ]:
        with pytest.raises(ValueError, match=words):
            speaker.speak("we saw the moon over the river", tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_many_visitors_at_once_each_hear_their_own(speaker: Speaker, tmp_path: Path) -> None:
    texts, heard = [f"this is number {number}" for number in range(8)], {}

    def visit(text: str) -> None:
        heard[text] = speaker.speak(text, tmp_path).sound.waveform

    threads = [threading.Thread(target=visit, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(heard[text], np.clip(speak(text).waveform, -1, 1), atol=1e-4)
    assert len(list(tmp_path.iterdir())) == len(texts)


def test_a_crash_between_texts_is_not_noticed(tmp_path: Path) -> None:
    with Speaker() as speaker:
        speaker.speak("hello", tmp_path)
        os.kill(speaker._process.pid, signal.SIGSEGV)
        speaker._process.wait(10)
        assert speaker.speak("hello again", tmp_path).sound.duration > 0.2


def test_a_process_that_hangs_is_ended_and_the_next_text_is_spoken(tmp_path: Path) -> None:
    with Speaker() as speaker:
        speaker.speak("hello", tmp_path).path.unlink()
        os.kill(speaker._process.pid, signal.SIGSTOP)
        speaker.patience = 0.5
        with pytest.raises(ValueError, match="broke off at this text"):
            speaker.speak("hello", tmp_path)
        assert list(tmp_path.iterdir()) == [] and speaker._process is None
        speaker.patience = speaking.PATIENCE
        assert speaker.speak("hello", tmp_path).sound.duration > 0.2


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if name == "espeakng_loader" else super().find_spec(name, path, target)

    assert is_available()
    monkeypatch.setattr(sys, "meta_path", [Without if finder is PathFinder else finder for finder in sys.meta_path])
    monkeypatch.delitem(sys.modules, "espeakng_loader", raising=False)
    assert not is_available()
    with pytest.raises(ValueError, match="pip install espeakng-loader"):
        speak_to_file("hello", next(iter(VOICES)), 165, tmp_path)


def test_the_page_has_one_speaker_for_all(tmp_path: Path) -> None:
    try:
        path = speak_to_file("hello", "German, man 1", 150, tmp_path)
        assert path.parent == tmp_path and path.stat().st_size > 1000
    finally:
        speaking._SPEAKER.close()
