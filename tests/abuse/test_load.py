"""Several visitors at once, and more than there are places for: nobody is lost, and no is said clearly.

Run: python -m pytest tests/abuse/test_load.py; the long way is in `load.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
from held import HeldFfmpeg
from load import FOREIGN, LOST, RESULT, run, table
from pages import serve
from raw_api import PLAIN, Answer, upload
from sounds import encoded, voice
from visitors import is_sentence

from humo.space.application.serving import SPARE_THREADS
from humo.space.jobs.manager import MAX_JOBS

pytestmark = pytest.mark.slow

VISITORS = 8
QUICK = {"prompt": "a man nods", "steps": 1, "seconds": 0.2}
IN_WORK, WAITING = MAX_JOBS + SPARE_THREADS, 64
"""Calls that the page has in work, and those that it lets wait."""
BURST = 150
"""Calls at once."""
GRANTED = 2
"""Videos an hour."""
FULL = "Too many are waiting here already: please try again in a minute."


def test_everybody_gets_what_they_asked_for(tmp_path: Path) -> None:
    report = run(tmp_path, VISITORS, 12)
    assert not report.of(LOST, FOREIGN) and report.log_errors == 0, table(report)
    assert {outcome.visitor for outcome in report.of(RESULT)} == {*range(VISITORS)}, table(report)
    assert report.places.total() > 0, "they do not only come one after the other"
    assert max(report.memory) - report.memory[0] < 600 << 20 and max(report.pulses) < 60, table(report)


def test_too_many_at_once_and_too_many_an_hour_are_told_clearly(tmp_path: Path) -> None:
    held = HeldFfmpeg(tmp_path)
    with serve(tmp_path, settings={"HUMO_JOBS_PER_HOUR": str(GRANTED), **held.settings}) as address:
        spoken = {**QUICK, "audio": upload(address, "voice.wav", encoded(voice(0.5, 16_000), rate=16_000))}
        refused, made, turned = asyncio.run(_burst(address, spoken, held))
    assert set(refused) == {FULL} and is_sentence(FULL), Counter(refused)
    assert WAITING <= len(turned) <= IN_WORK - GRANTED + WAITING, "as many as may wait are let in, and no more"
    assert [answer.event for answer in made] == ["complete"] * GRANTED
    said, hourly = Counter(answer.data["error"] for answer in turned), "2 videos an hour are granted here: please try"
    assert all(is_sentence(each) and each.startswith(hourly) for each in said), said


async def _burst(address: str, spoken: dict, held: HeldFfmpeg) -> tuple[list[str], list[Answer], list[Answer]]:
    """The granted videos, and while they are at work calls all at once.

    Some of these are let in and wait for their sound to be read. Each of them has one of the server's threads, which
    taking a call in needs too; a video at work lends its own twice a second. So nobody waits for ever.

    Returns:
        Why some were not let in, and what came of the videos and of the other calls, once the server could go on.
    """
    url = f"{address}/gradio_api/call/v2/generate"
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # httpx does not try stale ones again
    async with httpx.AsyncClient(**PLAIN, limits=limits) as client:

        async def follow(call: httpx.Response, has_begun: asyncio.Event) -> Answer:
            text = ""
            async with client.stream("GET", f"{url}/{call.json()['event_id']}") as told:
                async for words in told.aiter_text():
                    text += words
                    if "event: generating" in text:
                        has_begun.set()
            has_begun.set()
            return Answer.of(text)

        held.hold()
        begun = [asyncio.Event() for _ in range(GRANTED)]
        made = [asyncio.create_task(follow(await client.post(url, json=QUICK), each)) for each in begun]
        await asyncio.gather(*(each.wait() for each in begun))
        calls = await asyncio.gather(*(client.post(url, json=spoken) for _ in range(BURST)))
        held.release()
        turned = await asyncio.gather(*(follow(each, asyncio.Event()) for each in calls if each.status_code == 200))
        return [each.json()["detail"] for each in calls if each.status_code != 200], await asyncio.gather(*made), turned
