"""humo.space.page.events.speaking: typed texts become voices, in a process of their own that may die.

Run: python -m pytest tests/space/page/test_speaking.py
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from pocketsphinx import Decoder

from humo.checkpoints import MINI
from humo.space.jobs.request import MODES, Defaults
from humo.space.page import layout, texts
from humo.space.page.events import filling, speaking
from humo.space.page.events.speaking import MAX_TEXT, Speaker, check_text, speak_to_file
from humo.space.page.speakers import ESPEAK, HIBARI, VOICES, offered
from humo.space.temporary import DiskQuota
from humo.timing import SAMPLE_RATE
from humo.world.hibari import PACE, RATES, speak_english
from humo.world.speech import PITCHES, speak
from humo.world.speech import RATES as ESPEAK_RATES
from humo.world.speech import VOICES as WORLD_VOICES

WOMAN, ESPEAK_WOMAN = "American English, natural woman", "American English, woman 1"
ODD = ("<speak>hi</speak>", "[[h@l'oU]] hello", "1984", "x" * MAX_TEXT, 'quo"tes \\ {}', "½ naïve 🙂", "[a](/b/)")


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    with Speaker() as speaker:
        yield speaker


def test_voices_have_plain_names_and_mini_knows_the_english_ones() -> None:
    english = {voice.code for name, voice in VOICES.items() if voice.engine is ESPEAK and "English" in name}
    assert english == set(WORLD_VOICES)
    assert len(set(VOICES.values())) == len(VOICES) and list(VOICES)[:2] == [WOMAN, ESPEAK_WOMAN]
    assert {name.split(",")[0] for name in VOICES} >= {"German", "French", "Spanish"}
    assert [name for name, voice in VOICES.items() if voice.engine is HIBARI] == [WOMAN] and HIBARI.rates == RATES
    assert ESPEAK.rates == ESPEAK_RATES and ESPEAK.pitches == PITCHES


def test_a_text_is_spoken_as_the_world_speaks_it(speaker: Speaker, tmp_path: Path) -> None:
    spoken = speaker.speak("we saw the moon", tmp_path, "British English, man 2", rate=140, pitch=40)
    expected = speak("we saw the moon", "en-gb-x-rp+m2", 140, 40)
    assert spoken.path.parent == tmp_path and spoken.path.suffix == ".wav"
    assert spoken.sound.rate == SAMPLE_RATE and spoken.sound.original.shape == (len(expected.waveform), 1)
    np.testing.assert_allclose(spoken.sound.waveform, np.clip(expected.waveform, -1, 1), atol=1e-4)


def test_the_natural_woman_is_hibari_as_loud_as_the_others(speaker: Speaker, tmp_path: Path) -> None:
    text = "my brother found the window today"
    spoken = speaker.speak(text, tmp_path, WOMAN, rate=PACE)
    waveform = speak_english(text)
    assert spoken.sound.rate == SAMPLE_RATE
    np.testing.assert_allclose(spoken.sound.waveform, waveform, atol=1e-4)
    np.testing.assert_array_equal(waveform, speak_english(text))
    others = speak(text, rate=PACE).waveform
    levels = [20 * np.log10(np.sqrt((wave**2).mean())) for wave in (waveform, others)]
    assert abs(levels[0] - levels[1]) < 3 and np.abs(waveform).max() <= 0.95
    assert 0.8 < len(waveform) / len(others) < 1.25
    silent = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())[[0, -1]] / SAMPLE_RATE
    assert silent[0] < 0.2 and len(waveform) / SAMPLE_RATE - silent[1] < 0.3


def test_the_natural_woman_says_the_words(speaker: Speaker, tmp_path: Path) -> None:
    text = "please open your mouth and say something nice"
    assert heard(speaker.speak(text, tmp_path, WOMAN, rate=PACE).sound.waveform) == text


def heard(waveform: np.ndarray) -> str:
    """What a speech recogniser understands."""
    decoder = Decoder(loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw((waveform * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr


def test_every_language_has_a_voice_of_its_own(speaker: Speaker, tmp_path: Path) -> None:
    first = {name.split(",")[0]: name for name, voice in VOICES.items() if voice.engine is ESPEAK}
    said = {speaker.speak("hello everybody", tmp_path, name).sound.waveform.tobytes() for name in first.values()}
    assert len(said) == len(first) == 10


def test_rate_and_pitch_are_heard(speaker: Speaker, tmp_path: Path) -> None:
    for voice in (WOMAN, ESPEAK_WOMAN):
        slow, fast = (speaker.speak("we saw the moon", tmp_path, voice, rate).sound.duration for rate in (100, 220))
        assert slow > 1.4 * fast
    low, high = (speaker.speak("aaah", tmp_path, ESPEAK_WOMAN, pitch=pitch).sound.waveform for pitch in (0, 99))
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
    for voice in (WOMAN, ESPEAK_WOMAN):
        for text in ODD:
            assert speaker.speak(text, tmp_path, voice).sound.duration > 0.2
    np.testing.assert_array_equal(speak_english("[hi](/zzz/)"), speak_english("(hi)(/zzz/)"))  # no marks of hibari's
    assert speak_english("...?").size == 0 or np.abs(speak_english("...?")).max() < 0.3


def test_too_long_and_wrong_choices_leave_no_file(speaker: Speaker, tmp_path: Path) -> None:
    for changes, words in [
        ({"max_seconds": 1.0}, "at most 1.0 are allowed: shorten it or speak faster"),
        ({"voice": "en-us+f1"}, "choose one of the list"),
        ({"rate": 1000, "voice": ESPEAK_WOMAN}, "rate is 1000: choose a whole number from 80 to 449"),
        ({"rate": 450, "voice": ESPEAK_WOMAN}, "rate is 450: choose a whole number from 80 to 449"),
        ({"rate": 330}, "rate is 330: choose a whole number from 80 to 320"),
        ({"rate": 100.5}, "whole number"),
        ({"pitch": -1, "voice": ESPEAK_WOMAN}, "pitch is -1: choose a whole number from 0 to 99"),
        ({"pitch": 60}, "pitch is 60: choose 50, the only one of this voice"),
        ({"pitch": None}, "pitch is None"),
    ]:
        with pytest.raises(ValueError, match=words):
            speaker.speak("we saw the moon over the river", tmp_path, **changes)
    with pytest.raises(ValueError, match="natural woman' reads English and cannot say 'м': write it in Latin letters"):
        speaker.speak("hello мир", tmp_path, WOMAN)
    assert list(tmp_path.iterdir()) == []


def test_many_visitors_at_once_each_hear_their_own(speaker: Speaker, tmp_path: Path) -> None:
    texts, heard = [f"this is number {number}" for number in range(8)], {}

    def visit(text: str) -> None:
        heard[text] = speaker.speak(text, tmp_path, ESPEAK_WOMAN).sound.waveform

    threads = [threading.Thread(target=visit, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(heard[text], np.clip(speak(text).waveform, -1, 1), atol=1e-4)
    assert len(list(tmp_path.iterdir())) == len(texts)


@pytest.mark.slow
def test_a_crash_between_texts_is_not_noticed(tmp_path: Path) -> None:
    with Speaker() as speaker:
        speaker.speak("hello", tmp_path)
        os.kill(speaker._process.pid, signal.SIGSEGV)
        speaker._process.wait(300)
        assert speaker.speak("hello again", tmp_path).sound.duration > 0.2


@pytest.mark.slow
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


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Hides packages from whoever looks for them."""

    class Without(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if name in packages else super().find_spec(name, path, target)

    monkeypatch.setattr(sys, "meta_path", [Without if finder is PathFinder else finder for finder in sys.meta_path])
    for package in packages:
        monkeypatch.delitem(sys.modules, package, raising=False)


def offers() -> tuple[list[str], bool, str]:
    """Speakers of the page's menu, whether one may type, and the notes."""

    async def build() -> gr.Blocks:  # inside a loop, for gradio would open one and leave it open
        with gr.Blocks(analytics_enabled=False) as blocks:
            layout.speaking(MODES[1].key)
        return blocks

    parts = [part["props"] | {"type": part["type"]} for part in asyncio.run(build()).get_config_file()["components"]]
    menu = next(part for part in parts if part["type"] == "dropdown")
    notes = "".join(part["value"] for part in parts if part["type"] == "html")
    return [name for name, _ in menu["choices"]], menu["interactive"], notes


@pytest.mark.slow
def test_the_page_offers_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offers() == ([*VOICES], True, "")
    with monkeypatch.context() as patch:
        without(patch, "espeakng_loader")
        assert offered() == [WOMAN] and offers() == ([WOMAN], True, texts.MORE_SPEAKERS)
        assert speak_to_file("hello", None, PACE, tmp_path).stat().st_size > 1000
        with pytest.raises(ValueError, match=r"'German, man 1' needs the package espeakng-loader \(GPL-3\): pip"):
            speak_to_file("hello", "German, man 1", PACE, tmp_path)
    with monkeypatch.context() as patch:
        without(patch, "hibari")
        names = [name for name in VOICES if name != WOMAN]
        assert offered() == names and offers() == (names, True, "")
        with pytest.raises(ValueError, match=r"needs the package hibari-tts \(Apache-2.0\)"):
            speak_to_file("hello", WOMAN, PACE, tmp_path)
    without(monkeypatch, "hibari", "espeakng_loader")
    assert offers() == ([], False, texts.NO_SPEECH)
    with pytest.raises(ValueError, match="pip install hibari-tts brings a voice, or upload one"):
        speak_to_file("hello", None, PACE, tmp_path)


def test_the_page_has_one_speaker_for_all(tmp_path: Path) -> None:
    try:
        path = speak_to_file("hello", "German, man 1", 150, tmp_path)
        assert path.parent == tmp_path and path.stat().st_size > 1000
        say = filling.on_speak(DiskQuota(tmp_path, path.stat().st_size - 1), Defaults.of_folder(MINI))
        assert Path(say("hello", "German, man 1", 150)).is_file() and not path.exists(), "the oldest makes room"
    finally:
        speaking._SPEAKER.close()
