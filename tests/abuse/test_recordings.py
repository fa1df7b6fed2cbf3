"""Every container, coding, rate and arrangement that ffmpeg writes: heard whole, in time and loud, or truly refused.

Run: python -m pytest tests/abuse/test_recordings.py (a minute and a half; hundreds of files are made and read)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libsndfile
import numpy as np
import pytest
import soundfile
from containers import HEADERLESS, NO_FILE, NO_SOUND, NO_VOICE, ONLY_IN_NUT, READ, REFUSED, encoders, muxers, pairs
from hearing import ALIKE, BASE, LATEST, LOUDEST, SECONDS, Heard, Truth, hear, voice
from recordings import DAMAGED, SENTENCES, Recording, recordings
from studio import Studio

LONGEST_FRAME = 4_096
"""Samples of a coding's last block, which is filled up with silence."""
LEAST_READ, LEAST_REFUSED = 250, 50


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Recording, Heard | str]]]:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    made = [recording for recording in recordings() if recording.can_be_made]
    with ThreadPoolExecutor(2) as pool:
        yield list(zip(made, pool.map(studio.judge, range(len(made)), made), strict=True))


def fault(recording: Recording | libsndfile.Written, heard: Heard | str) -> str | None:
    """What is wrong with what came of a file."""
    told = f"{recording.name}: {heard}"
    if isinstance(heard, str):
        said = re.fullmatch(r"sound \d+\.bin (.+)", heard)
        is_right = said and recording.says and re.fullmatch(recording.says, said[1])
        return None if is_right else told
    if recording.says:
        return f"{recording.name}: is read, and should be refused"
    truth = heard.truth
    is_in_time = all(-LATEST <= lag <= LATEST + truth.slack for lag in heard.lags)
    least = truth.seconds if truth.least is None else truth.least
    is_whole = truth.seconds + heard.longer >= least - LATEST
    filling = LONGEST_FRAME * len(truth.voices) / recording.rate + LATEST + truth.slack
    is_right = is_in_time and is_whole and heard.longer <= filling
    return None if is_right and abs(heard.decibels) <= LOUDEST and heard.alike >= ALIKE else told


def test_nothing_that_ffmpeg_writes_is_left_out_silently() -> None:
    tables = (READ, REFUSED, HEADERLESS)
    assert not muxers() - {muxer for table in tables for muxer in table} - {*NO_SOUND.split(), *NO_FILE.split()}
    known = {encoder for table in tables for _, encoder in pairs(table)}
    assert not encoders() - known - set(NO_VOICE) - set(ONLY_IN_NUT.split())
    assert len(encoders()) > 40 and len(muxers()) > 100


@pytest.mark.slow
def test_the_corpus_is_large_and_each_recording_is_another(heard: list[tuple[Recording, Heard | str]]) -> None:
    names = Counter(recording.name for recording, _ in heard)
    assert max(names.values()) == 1, names.most_common(3)
    refused = sum(bool(recording.says) for recording, _ in heard)
    assert len(heard) - refused >= LEAST_READ and refused >= LEAST_REFUSED


def test_each_is_heard_whole_in_time_and_loud_or_the_true_reason_is_told(
    heard: list[tuple[Recording, Heard | str]],
) -> None:
    faults = [fault(*each) for each in heard]
    assert not any(faults), "\n".join(filter(None, faults))


@pytest.mark.slow
def test_what_libsndfile_writes_is_heard_too(tmp_path: Path) -> None:
    every = [(written, written.judge(tmp_path)) for written in libsndfile.sounds()]
    made = [(written, answer) for written, answer in every if answer is not None]
    faults = [fault(*each) for each in made]
    assert not any(faults), "\n".join(filter(None, faults))
    assert sum(isinstance(answer, Heard) for _, answer in made) > 100


def test_only_known_sentences_are_said(heard: list[tuple[Recording, Heard | str]]) -> None:
    said = [answer for _, answer in heard if isinstance(answer, str)]
    assert said and all(re.fullmatch(rf"sound \d+\.bin (?:{'|'.join(SENTENCES)})", answer) for answer in said)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        (lambda sound: np.pad(sound, (1_300, 0)), Truth()),
        (lambda sound: sound[1_300:], Truth()),
        (lambda sound: sound[: BASE // 2], Truth()),
        (lambda sound: sound * 0.85, Truth()),
        (lambda sound: np.pad(sound, (0, BASE)), Truth()),
        (lambda sound: sound, Truth(voices=((1, 0.0),))),
        (lambda sound: sound, Truth(voices=((0, 0.0), (1, SECONDS)), seconds=2 * SECONDS)),
        (lambda sound: np.random.default_rng(0).normal(0, 0.1, len(sound)), Truth()),
    ],
    ids=["late", "early", "half", "quiet", "longer", "another voice", "one voice of two", "noise"],
)
def test_a_fault_would_be_found(tmp_path: Path, change: object, truth: Truth) -> None:
    right = Recording("wav", "pcm_s16le")
    soundfile.write(tmp_path / "0.wav", change(voice()), BASE)
    assert fault(right, hear(tmp_path / "0.wav", truth)) is not None
    soundfile.write(tmp_path / "0.wav", voice(), BASE)
    whole = Recording("wav", "pcm_s16le")
    assert fault(whole, hear(tmp_path / "0.wav", Truth())) is None
    assert "should be refused" in fault(Recording("wav", "pcm_s16le", says=DAMAGED), hear(tmp_path / "0.wav", Truth()))
