"""humo.training.audio_encoder.voices: sentences in other voices, spoilt sounds, and an audio encoder that learns to
hear them.

Run: python -m pytest tests/training/test_voice_training.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from typer.testing import CliRunner

from humo.audio import AudioEncoder
from humo.timing import FPS, SAMPLE_RATE
from humo.training.audio_encoder.training import AudioEncoderSettings, make_audio_encoder
from humo.training.audio_encoder.voices import data
from humo.training.audio_encoder.voices.batches import SHUT, VoiceBatchSettings, make_batch, resting
from humo.training.audio_encoder.voices.data import Sentence, Voice, make_sentence, read_sentences, write_sentences
from humo.training.audio_encoder.voices.degradations import degrade, level, mixed, noise, speak_larger, without_speech
from humo.training.audio_encoder.voices.loop import SENTENCES, train_voices
from humo.training.audio_encoder.voices.matching import matching_times
from humo.training.audio_encoder.voices.music import music
from humo.training.audio_encoder.voices.objective import VoiceObjective, VoiceTrainingSettings
from humo.training.audio_encoder.voices.sentences import voice_sentence
from humo.training.audio_encoder.voices.synthesizers import HIBARI, available_voices, say
from humo.training.command import train
from humo.training.run import Run
from humo.training.transformer.loop import load_audio_encoder
from humo.world.alignment import unknown_words
from humo.world.speech import speak

BATCH = VoiceBatchSettings(seconds=2, sentences=2, versions=2, silent=1)
LEARNING = VoiceTrainingSettings(fitting_batches=2)


def spoken(text: str, other_voice: str = "en-us+m7") -> Sentence:
    """A sentence in two of espeak-ng's voices, one of which is the "other"."""
    base, other = speak(text, "en-us+f2"), speak(text, other_voice, rate=200)
    times, base_times = matching_times(other.phonemes, base.phonemes)
    samples = [(32767 * np.clip(each.waveform, -1, 1)).astype(np.int16) for each in (base, other)]
    return Sentence(text, samples[0], base.phonemes, (Voice("m7", samples[1], times, base_times, np.zeros((0, 2))),))


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    return [spoken(text) for text in ("we saw the moon", "a poor boy", "keep the fire warm", "open it")]


def test_the_sentences_have_words_of_the_dictionary_and_many_sounds() -> None:
    rng = np.random.default_rng(0)
    said = [voice_sentence(rng) for _ in range(400)]
    assert len(set(said)) > 390
    assert unknown_words(" ".join(said)) == []


def test_equal_phonemes_match_and_a_pause_of_one_voice_is_passed_over() -> None:
    base = ((0.0, "p"), (0.1, "'A:"), (0.3, "m"), (0.5, "_"))
    slower = tuple((2 * start, name) for start, name in base)
    times, base_times = matching_times(slower, base)
    np.testing.assert_allclose(times, [0.0, 0.2, 0.6, 1.0])
    np.testing.assert_allclose(base_times, [0.0, 0.1, 0.3, 0.5])
    paused = ((0.0, "p"), (0.1, "A:"), (0.3, "_:"), (0.9, "m"), (1.1, "_"))
    times, base_times = matching_times(base, paused)
    assert np.interp(0.29, times, base_times) < 0.3 and np.interp(0.32, times, base_times) > 0.9
    times, base_times = matching_times(paused, base)
    assert np.interp([0.3, 0.9], times, base_times) == pytest.approx([0.3, 0.3])
    assert len(matching_times((), base)[0]) == 0


def test_a_phoneme_that_one_voice_leaves_out_is_skipped() -> None:
    base = ((0.0, "h"), (0.1, "A:"), (0.2, "r"), (0.3, "d"), (0.4, "_"))
    without_r = ((0.0, "h"), (0.1, "A:"), (0.3, "d"), (0.4, "_"))
    times, base_times = matching_times(without_r, base)
    np.testing.assert_allclose(times, base_times)
    assert len(times) == 4


def test_every_voice_that_is_there_says_a_sentence() -> None:
    voices = available_voices()
    assert HIBARI in voices
    for voice in voices:
        waveform = say("we saw the moon", voice, np.random.default_rng(0))
        assert waveform.dtype == np.float32 and 0.5 < len(waveform) / SAMPLE_RATE < 3 and level(waveform) > 0.01
    with pytest.raises(ValueError, match="voice is 'gramophone': use one of hibari"):
        say("we saw the moon", "gramophone", np.random.default_rng(0))


def test_sentences_come_back_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHARD", 2)
    monkeypatch.setattr(data, "available_voices", lambda: [HIBARI])
    files = list(write_sentences(tmp_path, 2))
    assert [file.name for file in files] == ["sentences-0000.npz"] and list(write_sentences(tmp_path, 2)) == []
    made, kept = [make_sentence(seed, [HIBARI]) for seed in range(2)], read_sentences(tmp_path)
    assert [[voice.name for voice in sentence.others] for sentence in kept] == [[HIBARI], []]
    for one, other in zip(made, kept, strict=True):
        assert (one.text, one.phonemes) == (other.text, other.phonemes)
        np.testing.assert_array_equal(one.samples, other.samples)
        for mine, theirs in zip(one.others, other.others, strict=True):
            assert mine.name == theirs.name == HIBARI
            for field in ("samples", "times", "base_times", "pauses"):
                np.testing.assert_array_equal(getattr(mine, field), getattr(theirs, field))
    with pytest.raises(ValueError, match="has no sentences"):
        read_sentences(tmp_path / "none")


def test_nothing_to_speak_with_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "available_voices", list)
    with pytest.raises(ValueError, match="no other voice is installed"):
        list(write_sentences(tmp_path, 1))


def test_spoilt_sounds_keep_their_length_and_differ() -> None:
    sound = speak("we saw the moon").waveform
    spoilt = [degrade(sound, np.random.default_rng(seed)) for seed in range(40)]
    assert all(each.shape == sound.shape and each.dtype == np.float32 and np.isfinite(each).all() for each in spoilt)
    levels = 20 * np.log10([level(each) for each in spoilt])
    assert levels.min() < -40 and levels.max() > -25
    assert len({each.tobytes() for each in spoilt}) == 40


def test_noise_and_music_lie_as_far_below_as_asked() -> None:
    rng = np.random.default_rng(0)
    sound = speak("we saw the moon").waveform
    for other in (noise(rng, len(sound)), music(rng, len(sound))):
        added = mixed(sound, other, 20) - sound
        assert 20 * np.log10(level(sound) / np.sqrt((added**2).mean())) == pytest.approx(20, abs=0.2)


@pytest.mark.slow
def test_sound_without_speech_may_have_any_level() -> None:
    sounds = [without_speech(np.random.default_rng(seed), SAMPLE_RATE) for seed in range(24)]
    assert all(sound.shape == (SAMPLE_RATE,) and np.abs(sound).max() <= 1 for sound in sounds)
    levels = [level(sound) for sound in sounds]
    assert min(levels) < 0.003 and max(levels) > 0.05


def test_a_larger_voice_is_higher_and_faster() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    higher, factor = speak_larger(tone, 1.25)
    assert factor == 1.25 and len(higher) == pytest.approx(SAMPLE_RATE / 1.25, abs=1)
    peak = np.abs(np.fft.rfft(higher)).argmax() * SAMPLE_RATE / len(higher)
    assert peak == pytest.approx(625, abs=2)


def test_places_lead_to_the_same_phoneme(sentences: list[Sentence]) -> None:
    """In chunks of the other voice, the place in the teacher's chunk says the same phoneme."""
    settings = replace(BATCH, clean_share=0.0, other_share=1.0, larger_share=0.0, spoilt_share=0.0, silent=0)
    plain = replace(settings, other_share=0.0)
    for seed in range(4):
        other, same = make_batch(seed, sentences, settings), make_batch(seed, sentences, plain)
        np.testing.assert_array_equal(other.taught, same.taught)
        for batch in (other, same):
            assert batch.heard.shape == (4, BATCH.length) and batch.places.shape == (4, BATCH.frames)
            inside = batch.places[batch.places != SHUT]
            assert (inside >= 0).all() and (inside <= BATCH.frames - 1).all()
        for chunk, places, source in zip(same.heard, same.places, same.source, strict=True):
            moved = places - np.arange(BATCH.frames)
            moved = np.unique(np.round(moved[places != SHUT], 6))
            assert len(moved) == 1, "the voice itself is only moved"
            shift = round(moved[0]) * SAMPLE_RATE // FPS
            start = max(0, -shift)
            stop = min(BATCH.length, BATCH.length - shift, np.flatnonzero(chunk)[-1])
            heard, taught = chunk[start:stop], same.taught[source][start + shift : stop + shift]
            assert np.corrcoef(heard, taught)[0, 1] > 0.99


def test_where_nobody_speaks_the_mouth_rests(sentences: list[Sentence]) -> None:
    batch = make_batch(0, sentences, BATCH)
    assert (batch.places[-1] == SHUT).all()
    mouths = resting(np.ones((5, BATCH.frames, 2), np.float32), batch.places)
    assert (mouths[-1] == (0.0, 0.5)).all()


def lesson(sentences: list[Sentence]) -> tuple[AudioEncoder, VoiceObjective]:
    torch.manual_seed(0)
    extractor, teacher = make_audio_encoder(AudioEncoderSettings(seconds=2, width=tiny.AUDIO_CHANNELS))
    projection = tiny.pipeline("mini").transformer.audio_projection
    return teacher, VoiceObjective(teacher, projection, extractor, sentences, BATCH, LEARNING)


def test_the_teacher_misses_nothing_where_it_is_heard_in_its_own_way(sentences: list[Sentence]) -> None:
    teacher, lessons = lesson(sentences)
    clean = make_batch(0, sentences, replace(BATCH, clean_share=1.0, silent=0))
    spoilt = make_batch(0, sentences, replace(BATCH, clean_share=0.0, silent=0))
    with torch.no_grad():
        same = replace(clean, heard=clean.taught[clean.source], places=np.tile(np.arange(50.0), (4, 1)))
        own, away = lessons.loss(teacher, same)[1], lessons.loss(teacher, spoilt)[1]
    assert own["features"] < 1e-6 and own["tokens"] < 1e-6
    assert away["features"] > 1e-3


@pytest.mark.slow
def test_a_training_learns_and_goes_on(sentences: list[Sentence], tmp_path: Path, monkeypatch) -> None:
    extractor, encoder = make_audio_encoder(AudioEncoderSettings(seconds=2, width=tiny.AUDIO_CHANNELS))
    extractor.save_pretrained(tmp_path / "audio_encoder" / "feature_extractor")
    encoder.save_pretrained(tmp_path / "audio_encoder" / "audio_encoder")
    tiny.pipeline("mini").save_pretrained(tmp_path / "pipeline")
    monkeypatch.setattr("humo.training.audio_encoder.voices.loop.read_sentences", lambda folder: sentences)
    student = train_voices(tmp_path, steps=4, save_every=2, batch=BATCH, learning=LEARNING)
    run = Run(tmp_path / "voices", 0)
    assert run.load()["step"] == 4
    again = train_voices(tmp_path, steps=6, save_every=2, batch=BATCH, learning=LEARNING)
    assert run.load()["step"] == 6
    assert not torch.equal(student.conv1.weight, again.conv1.weight)
    assert torch.equal(load_audio_encoder(tmp_path)[1].conv1.weight, again.conv1.weight)
    assert torch.equal(load_audio_encoder(tmp_path, other_voices=False)[1].conv1.weight, encoder.conv1.weight)
    assert "others_width" in (run.folder / "log.jsonl").read_text()


def test_the_command_asks_for_a_pipeline(tmp_path: Path) -> None:
    result = CliRunner().invoke(train, ["voices", "--out", str(tmp_path)])
    assert isinstance(result.exception, ValueError) and "has no pipeline" in str(result.exception)
    assert SENTENCES == "sentences"
