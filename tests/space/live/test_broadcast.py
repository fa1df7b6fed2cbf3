"""The session behind the page: what comes in twice or not at all, who is told what, and how it ends.

Run: python -m pytest tests/space/live/test_broadcast.py
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tiny
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from humo.live.session import PIECE
from humo.media import read_sound
from humo.space.jobs.job import Model
from humo.space.jobs.limits import Limits
from humo.space.jobs.queue import JobQueue
from humo.space.jobs.request import VideoRequest
from humo.space.live import broadcast as broadcasts
from humo.space.live.broadcast import Asked, Broadcast
from humo.space.live.hub import LiveHub
from humo.space.live.routes import live_routes
from humo.space.live.wire import as_wav, read_sound_bytes
from humo.space.turns import Turns

RATE = 16_000
LENGTH = 4 * PIECE * RATE // 25
NEEDED = 4 * (PIECE + 1) * RATE // 25
ASK = VideoRequest(prompt="a woman talks", seed=3, is_fast=True)
PATIENCE = 60.0


class Clock:
    """Tells the seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def model() -> Model:
    pipe = tiny.pipeline("mini")
    pipe.fast_form = pipe
    return Model(lambda: pipe)


@pytest.fixture
def hub(model: Model) -> Iterator[LiveHub]:
    hub = LiveHub(model, Turns(), minutes=10)
    yield hub
    if hub._place is not None:
        hub._place.broadcast.stop()
        hub._place.broadcast.join()


def begun(broadcast: Broadcast) -> Broadcast:
    """A broadcast whose person is drawn."""
    assert unpacked(broadcast.next_piece(-2, PATIENCE))[0]["number"] == -1
    while not broadcast.told()["is_open"]:
        broadcast.next_piece(-1, 0.01)
    broadcast.next_piece(-1, 0)  # once its thread has set all that begins
    return broadcast


@pytest.fixture
def live(hub: LiveHub) -> Broadcast:
    return begun(hub.open("a", ASK, RATE))


def said(count: int) -> np.ndarray:
    return (np.sin(np.arange(count) / 9) * 9_000).astype(np.int16)


def unpacked(body: object) -> tuple[dict, np.ndarray, Image.Image]:
    assert isinstance(body, bytes), body
    line, rest = body.split(b"\n", 1)
    head = json.loads(line)
    sound = np.frombuffer(rest[: 2 * head["samples"]], "<i2")
    return head, sound, Image.open(io.BytesIO(rest[2 * head["samples"] :]))


def test_a_piece_comes_with_its_sound_and_its_pictures(live: Broadcast) -> None:
    spoken = said(NEEDED)
    live.hear(0, spoken)
    head, sound, strip = unpacked(live.next_piece(-1, PATIENCE))
    assert (head["number"], head["frames"], head["fps"], head["rate"], head["end"]) == (0, 4 * PIECE, 25, RATE, LENGTH)
    assert strip.size == (64, 4 * PIECE * 64) and strip.format == "JPEG"
    np.testing.assert_allclose(sound, spoken[:LENGTH], atol=1)
    assert 0 < head["seconds_left"] <= 600 and head["factor"] > 0


def test_what_is_sent_twice_is_heard_once(live: Broadcast) -> None:
    """A request whose answer was lost is sent again, with more behind it."""
    spoken = said(NEEDED)
    live.hear(0, spoken[:5_000])
    live.hear(0, spoken[:7_000])
    live.hear(6_000, spoken[6_000:])
    live.hear(1_000, spoken[1_000:2_000])
    head, sound, _ = unpacked(live.next_piece(-1, PATIENCE))
    np.testing.assert_allclose(sound, spoken[:LENGTH], atol=1)
    assert head["end"] == LENGTH


def test_what_never_came_is_left_out(live: Broadcast) -> None:
    """The player dropped four seconds while the connection was lost; it learns where the piece ends in its own time."""
    spoken = said(NEEDED)
    live.hear(0, spoken[:4_000])
    live.hear(4_000 + 4 * RATE, spoken[4_000:])
    head, sound, _ = unpacked(live.next_piece(-1, PATIENCE))
    np.testing.assert_allclose(sound, spoken[:LENGTH], atol=1)
    assert head["end"] == LENGTH + 4 * RATE


def test_a_player_that_was_away_gets_what_it_missed(live: Broadcast) -> None:
    live.hear(0, said(NEEDED + 2 * LENGTH))
    numbers, after = [], -1
    for _ in range(3):
        after = unpacked(live.next_piece(after, PATIENCE))[0]["number"]
        numbers.append(after)
    assert numbers == [0, 1, 2]
    assert unpacked(live.next_piece(1, PATIENCE))[0]["number"] == 2, "asked for once more"


def test_one_is_live_and_others_are_told(hub: LiveHub, live: Broadcast) -> None:
    with pytest.raises(ValueError, match="Somebody else is live at the moment, for 10 min at the most"):
        hub.open("b", ASK, RATE)
    again = hub.open("a", ASK, RATE)
    assert live.is_over and not again.is_over and hub.find(live.id) is None and hub.find(again.id) is again
    again.stop()
    again.join()
    assert not hub.is_live
    hub.open("b", ASK, RATE)
    assert hub.is_live


def _ended(model: Model, clock: Clock, act: Callable[[Broadcast], None]) -> str:
    asked = Asked(ASK, RATE, seconds=600)
    broadcast = Broadcast(asked, model, Turns(), clock=clock)
    broadcast.start()
    begun(broadcast)
    act(broadcast)
    broadcast.join()
    told = broadcast.next_piece(10, 0)
    assert isinstance(told, dict) and not told["is_open"]
    return told["over"]


def test_a_session_ends_at_its_limit_though_somebody_speaks(model: Model) -> None:
    clock = Clock()

    def act(broadcast: Broadcast) -> None:
        for number in range(31):  # never so long that the page seems gone
            clock.now += broadcasts.PATIENCE - 1
            broadcast.hear(100 * number, said(100))
        clock.now += 10
        broadcast.hear(3_100, said(100))
        assert broadcast.seconds_left == 1
        clock.now += 1

    assert _ended(model, clock, act) == "A live session lasts 10 min at the most: press Speak live to begin again."


def test_a_session_ends_when_its_page_is_gone(model: Model) -> None:
    clock = Clock()

    def act(broadcast: Broadcast) -> None:
        for start in (0, 100):  # a connection that was lost for less
            clock.now += broadcasts.PATIENCE - 1
            broadcast.hear(start, said(100))
        clock.now += broadcasts.PATIENCE + 1

    assert _ended(model, clock, act).startswith("Nothing was heard of the page for 20 s")


def test_stop_stops(model: Model) -> None:
    assert _ended(model, Clock(), lambda broadcast: broadcast.stop()) == "Stopped."


def test_what_cannot_be_drawn_is_told(hub: LiveHub) -> None:
    broadcast = hub.open("a", VideoRequest(prompt="a woman", height=65, is_fast=True), RATE)
    broadcast.join()
    told = broadcast.next_piece(-2, 0)
    assert isinstance(told, dict) and told["over"].startswith("height must be a multiple of 32")
    with pytest.raises(ValueError, match="8000 to 192000"):
        hub.open("a", ASK, "fast")


def test_jobs_go_on_between_the_pieces(model: Model) -> None:
    """A step of a job and a piece are never computed at once, and both come to their end."""
    turns, inside, met = Turns(), [], []

    class Counting:
        """A task that notices company."""

        def run(self, pipe, report):
            raise NotImplementedError

    def run(task):
        for step in range(20):
            inside.append("job")
            met.append(len(inside))
            inside.remove("job")
            yield None if step < 19 else "done"

    hub = LiveHub(model, turns, minutes=1)
    broadcast = begun(hub.open("a", ASK, RATE))
    queue = JobQueue(model, run, turns=turns)
    from humo.space.jobs.job import Job

    job = Job(Counting())
    with turns.first():  # as a piece does
        inside.append("live")
        queue.join(job)
        job.wait(job.progress, 0.2)
        assert met == [], "no step while a piece is made"
        inside.remove("live")
    assert job.join().result == "done" and met == [1] * 20
    broadcast.hear(0, said(NEEDED))
    assert unpacked(broadcast.next_piece(-1, PATIENCE))[0]["number"] == 0
    broadcast.stop()
    broadcast.join()


def test_the_device_is_at_work_while_somebody_is_live(model: Model) -> None:
    """So nothing is compiled beside them, and no jobs are put together, whose steps would be long."""
    turns = Turns()
    queue = JobQueue(model, lambda task: iter(()), turns=turns)
    told: list[bool] = []
    queue.watch(told.append)
    broadcast = LiveHub(model, turns, minutes=1, share=queue.share).open("a", ASK, RATE)
    begun(broadcast)
    assert told == [False, True] and queue.is_shared
    broadcast.stop()
    broadcast.join()
    assert told == [False, True, False] and not queue.is_shared


@pytest.fixture
def client(hub: LiveHub) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=live_routes(hub))) as client:
        yield client


def test_the_routes(hub: LiveHub, live: Broadcast, client: TestClient) -> None:
    place = f"/live/{live.id}"
    heard = client.post(f"{place}/sound?start=0", content=said(NEEDED).tobytes())
    assert heard.status_code == 200 and heard.json()["over"] == ""
    piece = client.get(f"{place}/piece?after=-1")
    assert unpacked(piece.content)[0]["number"] == 0 and piece.headers["cache-control"] == "no-store"
    for path, words in (
        (f"{place}/piece?after=x", "after is 'x'"),
        (f"{place}/piece", "after is ''"),
        (f"{place}/voice", "no voice of its own"),
    ):
        refused = client.get(path)
        assert refused.status_code == 422 and words in refused.text
    refused = client.post(f"{place}/sound?start=0", content=b"odd")
    assert refused.status_code == 422 and "16-bit samples" in refused.text
    assert client.post(f"{place}/sound?start=-1", content=b"").status_code == 422
    assert client.get("/live/nobody/piece?after=0").status_code == 404
    assert client.post(f"{place}/stop").json()["over"] == "Stopped."
    assert client.get(f"{place}/piece?after=0").json()["over"] == "Stopped."


def test_a_voice_comes_as_every_browser_reads_it(tmp_path) -> None:
    sound = read_sound(tiny.voice(0.5, 22_050))
    (tmp_path / "voice.wav").write_bytes(as_wav(sound))
    again = read_sound(tmp_path / "voice.wav")
    assert again.rate == 22_050
    np.testing.assert_allclose(again.original, sound.original, atol=1e-4)


def test_too_much_at_once_is_refused() -> None:
    assert len(read_sound_bytes(b"")) == 0
    with pytest.raises(ValueError, match="at most 1 MiB"):
        read_sound_bytes(bytes(2 + (1 << 20)))


def test_the_limit_is_a_setting() -> None:
    assert Limits.from_environment({}).live_minutes == 10
    assert Limits.from_environment({"HUMO_LIVE_MINUTES": "3"}).live_minutes == 3
    assert Limits.from_environment({"HUMO_LIVE_MINUTES": "0"}).live_minutes == 0
    with pytest.raises(ValueError, match="HUMO_LIVE_MINUTES"):
        Limits.from_environment({"HUMO_LIVE_MINUTES": "long"})


def test_stop_reaches_a_session_that_opens(model: Model) -> None:
    turns = Turns()
    hub = LiveHub(model, turns, minutes=10)
    with turns.patient():  # a job's step, for whose end the drawing waits
        live = hub.open("a", ASK, RATE)
        live.stop()
    live.join()
    told = live.next_piece(-2, 0)
    assert isinstance(told, dict) and told["over"] == "Stopped.", "nobody was drawn"


def test_stop_ends_a_drawing_at_its_next_step(model: Model) -> None:
    turns = Turns()
    live = Broadcast(Asked(ASK, RATE, 600.0), model, turns)
    with turns.patient():
        live.start()
        while live._begun is None:
            time.sleep(0.01)
        live.stop()
    live.join()
    assert isinstance(live.next_piece(-2, 0), dict), "nobody was drawn"


def test_two_threads_wait_without_harm(live: Broadcast) -> None:
    """As when a player asked again before its first request was given up."""
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(unpacked(live.next_piece(-1, PATIENCE))[0]["number"]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    live.hear(0, said(NEEDED))
    for thread in threads:
        thread.join()
    assert found == [0, 0]
