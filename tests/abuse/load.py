"""Many visitors at once against one server: everybody gets a video, a place in the queue or a clear refusal.

    python tests/abuse/load.py --visitors 50 --minutes 3

Half of them use the page's three tabs, share what they made and open what others shared; the others are programs.
Each asks for another text and another seed, which the video has to say of itself. The exit code is 1 if anybody was
lost or got what was not theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile
from visitors import PATIENCE, Layout, Lost, Refused, Tab, link_in

from humo.portrait import Portrait, draw_portrait

RESULT, REFUSED, LOST, FOREIGN = "result", "refused", "lost", "another's"
MODES = ("TI", "TA", "TIA")
"""The page's tabs."""
ENDPOINTS = {"text_image": "I", "text_audio": "A", "text_image_audio": "IA", "generate": ""}
"""What programs call, and what it needs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of something that a visitor did."""

    visitor: int
    action: str
    kind: str
    seconds: float
    said: str = ""
    """The refusal, or what was wrong."""


@dataclass(slots=True)
class Report:
    """All that happened."""

    outcomes: list[Outcome] = field(default_factory=list)
    places: Counter[int] = field(default_factory=Counter)
    """Visitors who were told that they wait, by visitor."""
    pulses: list[float] = field(default_factory=list)
    """Seconds that /config took, asked once a second."""
    memory: list[int] = field(default_factory=list)
    """Bytes of the server, measured at the same times."""
    log_errors: int = 0
    """Tracebacks in the server's log."""

    def of(self, *kinds: str) -> list[Outcome]:
        """The outcomes of some kinds."""
        return [outcome for outcome in self.outcomes if outcome.kind in kinds]


@dataclass(frozen=True, slots=True)
class Shared:
    """A link that somebody made."""

    id: str
    prompt: str
    seed: int


class Crowd:
    """The visitors of one server."""

    def __init__(self, address: str, seed: int = 0) -> None:
        """Set up; nobody comes yet.

        Args:
            address: of the server.
            seed: of what they choose to do.
        """
        self.report = Report()
        self._address, self._seed = address, seed
        self._links: list[Shared] = []
        self._picture, self._voice = _picture(), _voice()

    async def come(self, visitors: int, seconds: float, process: psutil.Process) -> Report:
        """Let them in, all at once, as soon as the model is loaded, and wait until the last one has an answer.

        Args:
            visitors: how many.
            seconds: after which nobody begins anything new.
            process: the server's.
        """
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=visitors)
        timeout = httpx.Timeout(PATIENCE)
        options = {"base_url": self._address, "timeout": timeout, "limits": limits}
        async with httpx.AsyncClient(**options, verify=False, trust_env=False) as client:
            layout = Layout.of((await client.get("/config")).json())
            await Tab(client, layout, "10.0.255.1").call("generate", {"prompt": "a man", "steps": 1, "seconds": 0.2})
            watch = asyncio.create_task(self._watch(client, process))
            until = time.monotonic() + seconds
            await asyncio.gather(*(self._visit(client, layout, number, until) for number in range(visitors)))
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        return self.report

    async def _watch(self, client: httpx.AsyncClient, process: psutil.Process) -> None:
        while True:
            begun = time.monotonic()
            (await client.get("/config")).raise_for_status()
            self.report.pulses.append(time.monotonic() - begun)
            self.report.memory.append(process.memory_info().rss)
            await asyncio.sleep(1)

    async def _visit(self, client: httpx.AsyncClient, layout: Layout, number: int, until: float) -> None:
        """Somebody who does one thing after the other."""
        rng = random.Random(self._seed * 1_000 + number)
        turn = 0
        while time.monotonic() < until:
            turn += 1
            tab = Tab(client, layout, f"10.0.{number // 250}.{number % 250 + 1}")
            wanted = Shared("", f"a woman with red hair nods, {number}-{turn}", number * 10_000 + turn)
            if self._links and rng.random() < 0.2:
                kind = await self._try(number, "open a link", self._open(tab, rng.choice(self._links)))
            elif number % 2:
                endpoint = rng.choice([*ENDPOINTS])
                kind = await self._try(number, f"/{endpoint}", self._call(tab, endpoint, wanted))
            else:
                mode = rng.choice(MODES)
                kind = await self._try(number, f"tab {mode}", self._make(tab, number, mode, wanted))
                if kind == RESULT and rng.random() < 0.3:
                    await self._try(number, "share", self._share(tab, wanted))
            await asyncio.sleep(rng.uniform(5, 20) if kind == REFUSED else rng.uniform(0.5, 3.0))

    async def _try(self, number: int, action: str, doing: Any) -> str:
        """Do something, and note what came of it."""
        begun = time.monotonic()
        kind, said = RESULT, ""
        try:
            said = await doing or ""
            kind = FOREIGN if said else RESULT
        except Refused as error:
            kind, said = REFUSED, str(error)
        except Exception as error:  # whatever it is, the visitor has nothing
            kind, said = LOST, repr(error)
        self.report.outcomes.append(Outcome(number, action, kind, time.monotonic() - begun, said))
        return kind

    async def _make(self, tab: Tab, number: int, mode: str, wanted: Shared) -> str | None:
        values = {f"prompt-{mode}": wanted.prompt, "Seed": wanted.seed, "random": False, "Steps": 2, "Seconds": 0.2}
        if "I" in mode:
            values[f"image-{mode}"] = await tab.upload("face.png", self._picture)
        if "A" in mode:
            values[f"audio-{mode}"] = await tab.upload("voice.wav", self._voice)
        video, waits = None, False
        async for changed in tab.press(f"generate-{mode}.click", values):
            waits |= "before yours" in str(changed.get("stage"))
            shown = changed.get("video")
            video = shown["value"] if isinstance(shown, dict) and shown.get("value") else video
        self.report.places[number] += waits
        return await self._strange(tab, video, wanted)

    async def _call(self, tab: Tab, endpoint: str, wanted: Shared) -> str | None:
        values: dict[str, Any] = {"prompt": wanted.prompt, "seed": wanted.seed, "steps": 2}
        if "I" in ENDPOINTS[endpoint]:
            values["image"] = await tab.upload("face.png", self._picture)
        if "A" in ENDPOINTS[endpoint]:
            values["audio"] = await tab.upload("voice.wav", self._voice)
        else:
            values["seconds"] = 0.2
        video, told = await tab.call(endpoint, values)
        if (told["prompt"], told["seed"]) != (wanted.prompt, wanted.seed):
            return f"settings of {told['prompt']!r}"
        return await self._strange(tab, video, wanted)

    async def _share(self, tab: Tab, made: Shared) -> None:
        async for changed in tab.press("share.click", {"keeps-inputs": False}):
            self._links.append(Shared(link_in(changed["link"]), made.prompt, made.seed))

    async def _open(self, tab: Tab, link: Shared) -> str | None:
        changed = await tab.load(f"g={link.id}")
        video = changed["opened-video"].get("value")
        if video is None:
            raise Lost(f"the link shows {changed}")
        return await self._strange(tab, video, link)

    async def _strange(self, tab: Tab, video: Any, wanted: Shared) -> str | None:
        """What a video says of itself that was not asked for; None if all is right."""
        if video is None:
            raise Lost("the event ended without a video")
        found = await tab.settings_of(video)
        if (found.prompt, found.seed) == (wanted.prompt, wanted.seed):
            return None
        return f"{found.prompt!r}, seed {found.seed}, instead of {wanted.prompt!r}"


def _picture() -> bytes:
    file = io.BytesIO()
    draw_portrait(Portrait(gender="woman", hair_style="long"), 96).save(file, "PNG")
    return file.getvalue()


def _voice() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.4 * np.sin(np.arange(4_800) / 12), 16_000, format="WAV")
    return file.getvalue()


def table(report: Report) -> str:
    """The report as text: by visitor, by what was done, and the server."""
    by_visitor, by_action = defaultdict(list), defaultdict(list)
    for outcome in report.outcomes:
        by_visitor[outcome.visitor].append(outcome)
        by_action[outcome.action].append(outcome)
    lines = [*_rows("visitor", sorted(by_visitor.items())), "", *_rows("what was done", sorted(by_action.items()))]
    lines += ["", *_rows("", [("all", report.outcomes)]), ""]
    lines += [f"told that they wait: {sum(report.places.values())} times, {len(+report.places)} visitors"]
    lines += [
        f"/config: median {_median(report.pulses)}, 95 % {_late(report.pulses)}, longest {max(report.pulses):.2f} s"
    ]
    first, last, most = (value / 2**20 for value in (report.memory[0], report.memory[-1], max(report.memory)))
    lines += [f"server: {first:.0f} MiB at first, {last:.0f} at last, {most:.0f} at most"]
    lines += [f"tracebacks in the log: {report.log_errors}", "", "what was said:"]
    said = Counter(f"{outcome.kind}: {outcome.said}" for outcome in report.of(REFUSED, LOST, FOREIGN))
    return "\n".join([*lines, *(f"{count:6} x {words[:150]}" for words, count in said.most_common(12))])


def _rows(title: str, groups: Iterable[tuple[Any, list[Outcome]]]) -> Iterator[str]:
    yield f"{title:>22} | results | refused | lost | another's | median wait | 95 % wait"
    for name, outcomes in groups:
        counts = Counter(outcome.kind for outcome in outcomes)
        waits = [outcome.seconds for outcome in outcomes if outcome.kind == RESULT]
        numbers = f"{counts[RESULT]:7} | {counts[REFUSED]:7} | {counts[LOST]:4} | {counts[FOREIGN]:9}"
        yield f"{name:>22} | {numbers} | {_median(waits):>11} | {_late(waits):>9}"


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s" if seconds else "-"


def _late(seconds: list[float]) -> str:
    return f"{np.percentile(seconds, 95):.2f} s" if seconds else "-"


def run(folder: Path, visitors: int, seconds: float) -> Report:
    """A server of its own, with visitors who come through a proxy.

    Args:
        folder: where it runs; existing.
        visitors: how many.
        seconds: after which nobody begins anything new.
    """
    from pages import process_at, serve

    os.environ["HUMO_TRUSTED_PROXIES"] = "1"
    try:
        with serve(folder, is_attacked=True) as address:
            report = asyncio.run(Crowd(address).come(visitors, seconds, process_at(address)))
    finally:
        del os.environ["HUMO_TRUSTED_PROXIES"]
    report.log_errors = (folder / "server.txt").read_text().count("Traceback")
    return report


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=3.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder), given.visitors, 60 * given.minutes)
    print(table(report))
    sys.exit(bool(report.of(LOST, FOREIGN)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # for `pages`, which pytest finds by itself
    main()
