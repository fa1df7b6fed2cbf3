"""Several visitors at once, and more than there are places for: nobody is lost, and no is said clearly.

Run: python -m pytest tests/abuse/test_load.py; the long way is in `load.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
from corpus import EMPTY
from load import FOREIGN, LOST, RESULT, run, table
from pages import serve
from pictures import written
from PIL import Image
from raw_api import PLAIN, Answer, call, upload
from visitors import is_sentence

pytestmark = pytest.mark.slow

VISITORS = 8
QUICK = {"prompt": "a man nods", "steps": 1, "seconds": 0.2}
BURST = 250
"""Calls at once; Gradio has 40 in work, and the page lets 64 wait."""


def test_everybody_gets_what_they_asked_for(tmp_path: Path) -> None:
    report = run(tmp_path, VISITORS, 12)
    assert not report.of(LOST, FOREIGN) and report.log_errors == 0, table(report)
    assert {outcome.visitor for outcome in report.of(RESULT)} == {*range(VISITORS)}, table(report)
    assert report.places.total() > 0, "they do not only come one after the other"
    assert max(report.memory) - report.memory[0] < 600 << 20 and max(report.pulses) < 10, table(report)


def test_too_many_at_once_and_too_many_an_hour_are_told_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUMO_JOBS_PER_HOUR", "2")
    large = written(Image.new("L", (3_000, 2_000), 90))
    with serve(tmp_path) as address:
        slow = {**QUICK, "image": upload(address, "large.png", large), "audio": upload(address, *EMPTY)}
        answers = asyncio.run(_burst(address, slow))
        said = Counter(answer if isinstance(answer, str) else answer.data["error"] for answer in answers)
        full = "Too many are waiting here already: please try again in a minute."
        assert set(said) == {full, "Sound end.wav is an empty file: give one with content."} and is_sentence(full), said
        assert said[full] < BURST - 64, "those who may wait had their turn"
        assert [call(address, "generate", QUICK).event for _ in range(2)] == ["complete"] * 2
        told = call(address, "generate", QUICK).data["error"]
        assert is_sentence(told) and "2 videos an hour are granted here: please try again in" in told


async def _burst(address: str, values: dict) -> list[Answer | str]:
    """Calls all at once: what came of each, or why it was not let in."""
    url = f"{address}/gradio_api/call/v2/generate"
    limits = httpx.Limits(max_connections=BURST, max_keepalive_connections=0)  # httpx does not try stale ones again

    async def one(client: httpx.AsyncClient) -> Answer | str:
        begun = await client.post(url, json=values)
        if begun.status_code != 200:
            return begun.json()["detail"]
        told = await client.get(f"{url}/{begun.json()['event_id']}")
        return Answer(200, text=told.text)

    async with httpx.AsyncClient(**PLAIN, limits=limits) as client:
        return await asyncio.gather(*(one(client) for _ in range(BURST)))
