"""Hundreds of hostile inputs against one server: each is refused in a sentence or made into a video, and it lives on.

Run: python -m pytest tests/abuse/test_hostile.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from addresses import FORM, UPLOAD, form, requests, upload_names
from corpus import EMPTY, FINE_PICTURE, VOICE_SECONDS, Case, cases
from imageio_ffmpeg import get_ffmpeg_exe
from pages import ROOT, process_at, serve
from pictures import picture, written
from raw_api import PLAIN, Answer, call, upload
from visitors import is_sentence

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {"prompt": "a woman with red hair nods", "steps": 1, "seconds": 0.2, "seed": 3}
SIDE = 512
"""Pixels of the videos."""
NUM_GROUPS = 17
"""Of about 25 cases; after each a good request is made."""
MAX_ROUNDING = 3.0
"""Levels of 255, on average, by which a good request's video may differ from the first: another number of threads
rounds otherwise, in bfloat16 by 0.4, of which H.264 makes 1.1. Another seed or action would be 6, another hair 22."""
MAX_GROWTH = 700 << 20
"""Bytes of memory that the server may take above what a good request needs: decoding takes it for a while."""
MAX_DISK = 64 << 20
"""Bytes of its temporary folder."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """The server, and what it was like before."""

    address: str
    process: psutil.Process
    memory: int
    """Bytes after a good request."""
    folder: Path
    """Of its uploads and results."""
    secrets: tuple[str, ...]
    """What no answer may tell."""
    good: np.ndarray
    """The frames of a good request, (f, h, w, 3)."""
    empty: dict[str, Any]
    """An upload of no bytes."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    log = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUMO_VOICE_SECONDS", str(VOICE_SECONDS))
        patch.setenv("GRADIO_TEMP_DIR", str(log / "temporary"))
        with serve(log) as address:
            good = _frames(address, call(address, "generate", QUICK))
            process = process_at(address)
            (folder,) = (log / "temporary").glob("humo-page-*")
            secrets = ("Traceback", 'File "', str(log), str(ROOT), sys.prefix, "site-packages")
            memory = process.memory_info().rss
            yield Attacked(address, process, memory, folder, secrets, good, upload(address, *EMPTY))


@pytest.fixture(scope="module")
def corpus() -> list[Case]:
    return cases()


def test_the_corpus_is_large_and_each_case_is_another(corpus: list[Case]) -> None:
    assert len(corpus) >= 400 and len({case.name for case in corpus}) == len(corpus)
    assert sum(case.says is None for case in corpus) < 25, "each costs a second"


@pytest.mark.parametrize("group", range(NUM_GROUPS))
def test_hostile_input_is_refused_in_a_sentence_or_made_into_a_video(
    attacked: Attacked, corpus: list[Case], group: int
) -> None:
    failures = []
    for case in corpus[group::NUM_GROUPS]:
        answer = _send(attacked, case)
        failures += [f"{case.name}: {fault}" for fault in _faults(attacked, case, answer)]
        httpx.get(f"{attacked.address}/config", **PLAIN).raise_for_status()
    assert not failures, "\n".join(failures)
    again = _frames(attacked.address, call(attacked.address, "generate", QUICK))
    assert np.abs(again.astype(int) - attacked.good).mean() < MAX_ROUNDING, (
        "a bad request changes what a good one makes"
    )
    assert attacked.process.memory_info().rss - attacked.memory < MAX_GROWTH
    assert sum(path.stat().st_size for path in attacked.folder.rglob("*") if path.is_file()) < MAX_DISK


def _send(attacked: Attacked, case: Case) -> Answer:
    values = {**QUICK, **case.values}
    for name, file in (("image", case.image), ("audio", case.audio)):
        if file is not None:
            values[name] = attacked.empty if file is EMPTY else upload(attacked.address, *file)
    given = {name: value for name, value in values.items() if value is not ...}
    return call(attacked.address, case.endpoint, given if case.body is None else case.body)


def _faults(attacked: Attacked, case: Case, answer: Answer) -> Iterator[str]:
    """What is wrong with an answer."""
    if case.says is None:
        if answer.event != "complete":
            yield f"no video: {answer}"
        else:
            yield from _faults_of_frames(_frames(attacked.address, answer))
        return
    sentence = _sentence(answer)
    if sentence is None:
        yield f"no sentence: {answer}"
        return
    if not re.search(case.says, sentence):
        yield f"says something else: {sentence}"
    if len(sentence) > 300 or not is_sentence(sentence):
        yield f"is not one sentence: {sentence!r}"
    yield from (f"tells {secret}: {answer.text}" for secret in attacked.secrets if secret in answer.text)


def _sentence(answer: Answer) -> str | None:
    """What a refusal says."""
    if answer.event == "error":
        said = answer.data.get("error")
    elif 400 <= answer.status < 500:
        said = json.loads(answer.text).get("detail")
    else:
        said = None
    return said if isinstance(said, str) else None


def _frames(address: str, answer: Answer) -> np.ndarray:
    """The pictures of the video that an answer names, (f, h, w, 3)."""
    assert answer.event == "complete", answer
    path = answer.data[0][0]["path"]
    assert httpx.get(f"{address}/gradio_api/file={path}", **PLAIN).content == Path(path).read_bytes()
    command = [get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)


def _faults_of_frames(frames: np.ndarray) -> Iterator[str]:
    if len(frames) != 5:
        yield f"the video has {len(frames)} frames"
    if frames.std() < 5:
        yield f"the video shows nothing: {frames.std():.1f}"


def test_other_addresses_tell_nothing_and_break_nothing(attacked: Attacked) -> None:
    failures = []
    with httpx.Client(**PLAIN, base_url=attacked.address) as client:
        for asked in requests():
            answer = client.request(asked.method, asked.path, content=asked.content, headers=asked.headers)
            told = f"{asked.method} {asked.path[:60]}: {answer.status_code} {answer.text[:200]}"
            known = answer.url.path == "/gradio_api/upload" and answer.status_code == 200
            if answer.status_code not in asked.status or "root:" in answer.text:
                failures.append(told)
            failures += [told for secret in attacked.secrets if secret in answer.text and not known]
            client.get("/gradio_api/startup-events").raise_for_status()
    assert not failures, "\n".join(failures)


def test_names_of_uploads_are_refused_or_made_harmless(attacked: Attacked) -> None:
    read = []
    for name in upload_names():
        body = form(name, written(picture()))
        answer = httpx.post(attacked.address + UPLOAD, content=body, headers=FORM, **PLAIN)
        if answer.status_code != 200:
            assert 400 <= answer.status_code < 500 and "Traceback" not in answer.text, (name, answer.text)
            continue
        (place,) = answer.json()
        assert Path(place).resolve().is_relative_to(attacked.folder) and Path(place).is_file(), name
        image = {"path": place, "meta": {"_type": "gradio.FileData"}}
        said = _sentence(call(attacked.address, "generate", {**QUICK, "image": image, "audio": attacked.empty}))
        assert re.search(rf"{FINE_PICTURE}|^A file given here was not", said or ""), (name, said)
        read += [name] * bool(re.search(FINE_PICTURE, said))
    assert len(read) > 12 and "Bildschirmfoto um 3.04\u202fPM.png".encode() in read, read


def test_the_pages_own_folder_is_nobodys_input(attacked: Attacked) -> None:
    result = call(attacked.address, "generate", QUICK).data[0][0]["path"]
    for place in (attacked.folder, attacked.folder / ".lock", attacked.folder / "nosuch.png", result):
        for kind in ({"meta": {"_type": "gradio.FileData"}}, {}):
            answer = call(attacked.address, "generate", {**QUICK, "image": {"path": str(place), **kind}})
            said = _sentence(answer)
            assert is_sentence(said) and not any(secret in said for secret in attacked.secrets), answer
