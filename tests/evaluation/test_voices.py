"""Mouths on recordings of people: recordings and their pieces, what spoils them, figures, report.

The recordings are synthetic here, as if two people had been recorded.

Run: python -m pytest tests/evaluation/test_voices.py
"""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from scipy.signal import welch

from humo.evaluation.command import _find_recordings
from humo.evaluation.generation import settings_for
from humo.evaluation.metrics import correlation
from humo.evaluation.probes.networks import ProbeOutput, Probes
from humo.evaluation.voices import degradations as spoiling
from humo.evaluation.voices import recordings
from humo.evaluation.voices.measure import VoiceSettings, _hear_piece, evaluate_voices, judge_voices, share_above
from humo.evaluation.voices.recordings import BILABIALS, Piece, Recording, cut_pieces, describe_source, find_recordings
from humo.evaluation.voices.report import NAMES, kept_voices, voice_summary, voice_table, voices_in_words, write_voices
from humo.timing import SAMPLE_RATE
from humo.training.audio_encoder.voices.degradations import level
from humo.world.hibari import speak_english
from humo.world.speech import speak
from humo.world.visemes import mouth_curves

FRAMES = 33
SAID = {
    "anna/first": "my brother opened the window and painted a purple boat today",
    "anna/second": "please come in, we bought some bread before lunch",
    "bert/first": "the old farmer found a map of the main road by the river",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for number, (name, text) in enumerate(SAID.items()):
        path = folder / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        waveform = speak_english(text) if "bert" in name else speak(text, rate=160).waveform
        soundfile.write(path, 0.5 * waveform, SAMPLE_RATE, subtype="PCM_16")
        path.with_suffix(".txt").write_text(text.capitalize() + ".\n" * (number + 1))
    soundfile.write(folder / "no_words.wav", speak("hello").waveform, SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def pieces(folder: Path) -> list[Piece]:
    return cut_pieces(find_recordings(folder), 8, FRAMES)[0]


# Recordings


def test_a_folder_of_sounds_and_texts_is_found(folder: Path) -> None:
    found = find_recordings(folder)
    assert [(each.name, each.speaker) for each in found] == [(name, name.split("/")[0]) for name in SAID]
    assert found[0].text == "My brother opened the window and painted a purple boat today."
    assert describe_source(folder) == f"the folder {folder.name}"


def test_a_table_takes_the_place_of_the_texts(tmp_path: Path) -> None:
    (tmp_path / "recordings.tsv").write_text('path\ttext\tspeaker\nb.wav\the said "no"\tb\na.flac\tyes\t\n')
    (tmp_path / "source.txt").write_text("\nMy own voice, 2026\nmore\n")
    found = find_recordings(tmp_path)
    assert found == [
        Recording("a.flac", "a.flac", tmp_path / "a.flac", "yes"),
        Recording("b.wav", "b", tmp_path / "b.wav", 'he said "no"'),
    ]
    assert describe_source(tmp_path) == "My own voice, 2026"
    (tmp_path / "recordings.tsv").write_text("file\twords\na.wav\tyes\n")
    with pytest.raises(ValueError, match="has the columns file, words: it needs path and text"):
        find_recordings(tmp_path)


def test_the_packages_recordings_are_read_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "PACKAGE", tmp_path)
    with pytest.raises(ValueError, match="apt-get install pocketsphinx-testdata"):
        find_recordings()
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "cards.transcription").write_text("<s> ten of clubs  </s> (001)\n<s> five </s> (002)\n")
    assert find_recordings() == [
        Recording("cards/001", "cards", tmp_path / "cards/001.wav", "ten of clubs"),
        Recording("cards/002", "cards", tmp_path / "cards/002.wav", "five"),
    ]
    assert "pocketsphinx-testdata" in describe_source()


def test_what_is_no_folder_of_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no folder"):
        find_recordings(tmp_path / "elsewhere")
    (tmp_path / "_old").mkdir()
    for name in ("_old/a.wav", "_old/a.txt", "b.txt", "c.wav"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="has no recordings: put a text file"):
        find_recordings(tmp_path)


def test_the_command_says_what_is_missing(folder: Path) -> None:
    assert _find_recordings(None, None, None) is None
    assert len(_find_recordings("human", folder, None)) == 3
    with pytest.raises(ValueError, match="voices is 'dogs'"):
        _find_recordings("dogs", folder, None)
    with pytest.raises(ValueError, match="--voices human"):
        _find_recordings(None, folder, None)


# Pieces


def test_pieces_are_of_all_speakers_and_their_mouths_are_the_synthesisers(pieces: list[Piece]) -> None:
    assert {piece.recording.speaker for piece in pieces[:2]} == {"anna", "bert"}
    assert len(pieces) > 3
    by_recording = {name: [each for each in pieces if each.recording.name == name] for name in SAID}
    assert all(by_recording.values())
    for parts in by_recording.values():
        starts = sorted(piece.start for piece in parts)
        assert all(later - earlier >= FRAMES / 25 for earlier, later in zip(starts, starts[1:], strict=False))
    own = speak(SAID["anna/first"], rate=160)
    agreements = []
    for piece in by_recording["anna/first"]:
        aligned = _hear_piece(0, piece, 0, 32).case.clip
        truth = mouth_curves(own.phonemes, own.duration, piece.start, FRAMES)
        agreements.append((correlation(aligned.openness, truth[0]), correlation(aligned.width, truth[1])))
        begin = round(piece.start * SAMPLE_RATE)
        sound = 0.5 * own.waveform[begin : begin + FRAMES * 640]
        np.testing.assert_allclose(aligned.waveform[: len(sound)], sound, atol=1e-4)
        assert piece.text in SAID["anna/first"] and len(piece.text.split()) > 2
    assert np.mean(agreements, axis=0).min() > 0.7, agreements


def test_lips_are_shut_where_the_phones_say_so(pieces: list[Piece]) -> None:
    places, openness = [], []
    for index, piece in enumerate(pieces):
        heard = _hear_piece(index, piece, 0, 32)
        places += heard.bilabials.tolist()
        openness += np.interp(heard.bilabials, np.arange(FRAMES), heard.case.clip.openness).tolist()
    assert len(places) > 4 and all(1 <= place <= FRAMES - 2 for place in places)
    assert np.mean(openness) < 0.15 < np.mean([_hear_piece(0, pieces[0], 0, 32).case.clip.openness])
    assert len(pieces[0].frames_of(("none",))) == 0 and BILABIALS == ("P", "B", "M")


def test_recordings_that_cannot_be_measured_are_named(folder: Path, tmp_path: Path) -> None:
    found = find_recordings(folder)
    odd = [replace(found[0], name="odd", text="xyzzy opened"), replace(found[0], name="gone", path=tmp_path / "no.wav")]
    odd.append(replace(found[2], name="other", text="ships sail six seas this sixth summer says she"))
    cut, left_out = cut_pieces([*found, *odd], 12, FRAMES)
    assert {piece.recording.name for piece in cut} == set(SAID)
    reasons = {reason.split(":")[0]: reason for reason in left_out}
    assert set(reasons) == {"gone", "odd", "other"} and "xyzzy" in reasons["odd"] and "not found" in reasons["other"]
    with pytest.raises(ValueError, match="0 of 3 recordings can be measured"):
        cut_pieces(odd, 9, FRAMES)


# What spoils them


def test_what_lies_under_a_voice_is_as_soft_as_is_said() -> None:
    rng = np.random.default_rng(0)
    voice = 0.2 * np.sin(np.arange(16_000) * 0.3)
    voice[8000:] = 0  # a pause, which does not make the voice softer
    for spoilt in (spoiling.white_noise(voice, rng, 10), spoiling.room_noise(voice, rng, 10)):
        ratio = 20 * np.log10(level(voice) / np.sqrt(((spoilt - voice) ** 2).mean()))
        assert ratio == pytest.approx(10, abs=0.1)
    assert level(spoiling.gain(voice, -20)) == pytest.approx(level(voice) / 10, rel=0.01)


def test_a_telephone_passes_what_telephones_pass() -> None:
    time = np.arange(16_000) / SAMPLE_RATE
    kept = [spoiling.telephone(np.sin(2 * np.pi * pitch * time)).std() for pitch in (80, 1000, 6000)]
    assert kept[1] > 0.65 and max(kept[0], kept[2]) < 0.05


def test_a_pause_is_silent_and_the_sound_as_long_as_before() -> None:
    voice = np.ones(4000, np.float32)
    paused = spoiling.with_pause(voice, 1000, 500)
    assert len(paused) == 4000 and not paused[1000:1500].any()
    assert (paused[:900] == 1).all() and (paused[1600:] == 1).all()


def test_made_music_is_music_of_its_seed(tmp_path: Path) -> None:
    first, again, other = (spoiling.make_music(np.random.default_rng(seed), 32_000) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.2
    assert np.sqrt((first**2).mean()) == pytest.approx(spoiling.MUSIC_LEVEL, rel=1e-3)
    _, spectrum = welch(first, SAMPLE_RATE, nperseg=4096)
    assert spectrum.max() > 30 * np.median(spectrum)  # notes, not noise
    soundfile.write(tmp_path / "song.wav", other, SAMPLE_RATE)
    piece = spoiling.read_music(tmp_path)(np.random.default_rng(0), 8000)
    assert piece.shape == (8000,) and np.sqrt((piece**2).mean()) == pytest.approx(spoiling.MUSIC_LEVEL, rel=1e-3)
    with pytest.raises(ValueError, match="has no music"):
        spoiling.read_music(tmp_path / "none")


# Figures


def test_a_mouth_that_follows_is_told_from_one_that_does_not(pieces: list[Piece]) -> None:
    heard = [_hear_piece(index, piece, 0, 32) for index, piece in enumerate(pieces)]
    cases = [one.case for one in heard]
    truths = [ProbeOutput(np.ones(FRAMES), each.clip.openness, each.clip.width, {}, np.zeros(1), 0.0) for each in cases]
    right = judge_voices(cases, heard, truths)
    assert right["sync"] == pytest.approx(1) and right["width_sync"] == pytest.approx(1) and right["sync_lag"] == 0
    assert right["sync_shuffled"] < 0.5 and right["told_apart"] > 0.95 and right["bilabials"] < right["open_vowels"]
    upside_down = [replace(each, openness=1 - each.openness) for each in truths]
    wrong = judge_voices(cases, heard, upside_down)
    assert wrong["sync"] < 0.2 and wrong["told_apart"] < 0.3
    assert judge_voices(cases, [replace(one, bilabials=np.zeros(0)) for one in heard], truths).get("told_apart") is None


def test_shares_of_pairs_by_hand() -> None:
    assert share_above(np.array([1.0, 3.0]), np.array([2.0, 1.0])) == pytest.approx(2.5 / 4)
    assert np.isnan(share_above(np.zeros(0), np.ones(2)))


@pytest.mark.slow
def test_the_whole_way_from_recordings_to_a_report(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe, probes = tiny.pipeline(), Probes().eval().requires_grad_(False)
    generation = replace(settings_for(pipe, FRAMES), num_inference_steps=1, size=32)
    settings = VoiceSettings(num_pieces=2)
    figures, left_out = evaluate_voices(pipe, probes, find_recordings(folder), settings, generation, tmp_path)
    assert left_out == [] and figures["speakers"] == 2
    assert list(figures["by_voice"]) == ["human", "espeak", "espeak_own", "hibari"] == list(NAMES)
    assert list(figures["by_change"]) == [*spoiling.changes()]
    rows = [*figures["by_voice"].values(), *figures["by_change"].values()]
    assert all({"sync", "sync_shuffled", "sync_loudness", "width_sync", "pieces"} <= set(row) for row in rows)
    videos = list(tmp_path.rglob("*.npz"))
    assert len(videos) == 2 * (1 + 2 + 5 + 2)  # espeak's two truths share their videos
    with pytest.raises(ValueError, match="25 or more are needed"):
        evaluate_voices(pipe, probes, [], settings, replace(generation, num_frames=9))

    (tmp_path / "report.json").write_text('{"modes": {"TA": {}}}')
    page = write_voices(figures | {"source": "two friends"}, tmp_path).read_text()
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["modes", "voices"] and report["voices"]["by_voice"]["human"]["pieces"] == 2
    assert "| people, by telephone |" in page and "2 pieces of 33 frames of 2 people, from two friends" in page
    model = figures["settings"]["model"]
    assert kept_voices(tmp_path, model) == {"voices": report["voices"]}
    kept = kept_voices(tmp_path, "other")["voices"]
    assert kept == report["voices"] | {"earlier_weights": True}
    for text in (voice_table, voices_in_words):
        assert "Measured with earlier weights." in text(kept) and "earlier" not in text(report["voices"])
    assert kept_voices(tmp_path / "nowhere", model) == {}


# Report


def section() -> dict:
    row = {"pieces": 40, "sync": 0.651, "sync_shuffled": 0.03, "sync_loudness": 0.5, "width_sync": 0.32}
    row["phones"] = [9, 7]
    changed = {"by telephone": row | {"sync": 0.6, "width_sync": 0.012}}
    return {
        "by_voice": {"human": row | {"sync_interval": [0.6, 0.7]}, "espeak": row | {"sync": 0.78, "width_sync": 0.62}},
        "by_change": changed,
        "pauses": {"openness": 0.021},
        "music": {"openness": 0.34},
        "speakers": 33,
        "source": "two sets",
        "settings": {"num_frames": 49, "model": "abc"},
    }


def test_figures_become_tables_and_sentences() -> None:
    table, words = voice_table(section()), voices_in_words(section())
    assert "| people | 0.65 (0.60–0.70) | 0.03 | 0.50 | 0.32 |  |  |  |" in table
    assert "9 closed lips and 7 open vowels" in table and "0.34 while music plays alone" in table
    assert "40 pieces of recordings of 33 people, from two sets" in words
    assert "by 0.65 and 0.32; espeak-ng's, same words, 0.78 and 0.62; by telephone 0.60 and 0.01." in words
    assert voice_summary("human", section()["by_voice"]["human"]).startswith("human ")


def test_the_readmes_table_has_a_row_for_people() -> None:
    quality = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "figures.py"))["quality"]
    report = {"modes": {"TA": {"sync": 0.88}}, "settings": {"num_videos": 3}}
    assert "human voices" not in quality(report)
    told = quality(report | {"voices": section()})
    assert "| human voices | 0.65 | 0.03 | 0.50 | – | – | – |" in told and "33 people, from two sets" in told
