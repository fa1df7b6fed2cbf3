"""humo.space.jobs.limits: whatever a program sends is taken or refused in one sentence, and nobody takes all.

Run: python -m pytest tests/space/jobs/test_limits.py
"""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny

from humo.loading.lora_files import LoraFile
from humo.media import Sound
from humo.space.jobs.job import Phase, Progress
from humo.space.jobs.limits import HOUR, Gate, Hourly, Limits, client_of
from humo.space.jobs.request import Defaults, KeptVideo, VideoRequest, frames_for
from humo.system.ranges import MAX_PROMPT_LENGTH
from humo.timing import FPS, SAMPLE_RATE

ROOT = Path(__file__).parents[3]
GOOD = VideoRequest(prompt="a woman nods", num_frames=49, num_inference_steps=16, seed=7)


def test_the_page_and_the_examples_are_within_the_limits() -> None:
    limits, defaults = Limits(), Defaults.of_folder(ROOT / "assets" / "humo-mini")
    assert limits.prompt == MAX_PROMPT_LENGTH, "the pipeline's own"
    longest = replace(GOOD, num_frames=1 + (defaults.max_frames - 1) // 4 * 4, num_inference_steps=50)
    picture, voice = ROOT / "assets" / "examples" / "woman.png", ROOT / "assets" / "examples" / "woman.wav"
    for request in (GOOD, longest, replace(GOOD, images=(picture,), audio=voice, guidance=defaults.guidance)):
        limits.check(request, within=[ROOT / "assets"])
    limits.check(VideoRequest(prompt="a man"))
    assert limits.check_seconds(2) == 2.0 and limits.check_seconds(defaults.max_frames / FPS) > 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"prompt": "a" * 2_001}, "2,001 characters"),
        ({"prompt": None}, "must be text"),
        ({"prompt": ["a"]}, "must be text"),
        ({"prompt": "half \ud800"}, "surrogate"),
        ({"negative_prompt": "a" * 10_000}, "negative_prompt has 10,000"),
        ({"num_inference_steps": 0}, "choose a whole number from 1 to 50"),
        ({"num_inference_steps": 51}, "from 1 to 50"),
        ({"num_inference_steps": 8.0}, "whole number"),
        ({"num_inference_steps": "16"}, "num_inference_steps is '16'"),
        ({"num_inference_steps": True}, "whole number"),
        ({"num_frames": 257}, "num_frames is 257"),
        ({"num_frames": float("nan")}, "whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 10**5_000}, "seed is far too large"),
        ({"height": 8}, "height is 8"),
        ({"height": 1280, "width": 1280}, "1280x1280 pixels"),
        ({"guidance": {"rule": "none"}}, "unknown"),
        ({"guidance": {"rule": "paper", "text": float("inf")}}, "guidance text"),
        ({"guidance": {"rule": "paper", "text": "5"}}, "guidance text"),
        ({"guidance": [1]}, "no JSON object"),
        ({"guidance": []}, "no JSON object"),
        ({"images": ("face.png",)}, "picture is 'face.png'"),
        ({"images": (Path("/no/such/face.png"),)}, "picture face.png does not exist"),
        ({"audio": Path("/etc/passwd")}, "sound passwd has no sound inside"),
        ({"audio": Path("a\0b")}, "give a file of yours"),
        ({"images": (Path("\ud800.png"),)}, "the picture's path holds half a letter"),
        ({"audio": Path("a" * 5_000)}, "the sound's path has 5,000 characters"),
        ({"images": (Path("a.png"),) * 5}, "at most 4"),
        ({"is_fast": True, "loras": (LoraFile(Path("a.safetensors")),)}, "a quick look takes no LoRA: press Generate"),
    ],
)
def test_what_is_over_the_limits_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        Limits().check(replace(GOOD, **changes))
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300 and "/no/such" not in text


@pytest.mark.parametrize("seconds", [0, -1, 11, float("nan"), float("inf"), "2", None, True, [2], 10**400])
def test_lengths_that_may_not_be_asked_for(seconds: object) -> None:
    with pytest.raises(ValueError, match="above 0, up to 10.1"):
        Limits().check_seconds(seconds)


@pytest.mark.parametrize("seconds", [0.1, 9.99, 10.03, 10.08, 10.1])
def test_every_length_that_may_be_asked_for_is_taken(seconds: float) -> None:
    limits = Limits()
    limits.check(replace(GOOD, num_frames=frames_for(limits.check_seconds(seconds))))


def test_known_frames_do_not_count() -> None:
    going_on = replace(GOOD, continue_from=KeptVideo(Path("kept.npz")))
    Limits().check(replace(going_on, num_frames=249 + 12))
    Limits().check(replace(going_on, num_frames=253 + 5, overlap=5))
    for changes in ({"num_frames": 253 + 14}, {"num_frames": 253 + 6, "overlap": 5}, {"overlap": "5"}):
        with pytest.raises(ValueError, match="choose a whole number from 1 to"):
            Limits().check(replace(going_on, **changes))


def test_files_are_looked_at(tmp_path: Path) -> None:
    limits, picture = Limits(file_bytes=1 << 20), tmp_path / "face.png"
    tiny.picture().save(picture)
    inside = replace(GOOD, images=(picture,))
    limits.check(inside, within=[tmp_path / "else", tmp_path])
    with pytest.raises(ValueError, match=r"face\.png was not uploaded here"):
        limits.check(inside, within=[tmp_path / "else"])
    (tmp_path / "else").mkdir()
    for way in (tmp_path / "else" / ".." / "face.png", tmp_path / "else" / "link.png"):
        if way.name == "link.png":
            way.symlink_to(picture)
        with pytest.raises(ValueError, match="was not uploaded here"):
            limits.check(replace(GOOD, images=(way,)), within=[tmp_path / "else"])
    (tmp_path / "large.png").write_bytes(picture.read_bytes() + bytes(3 << 20))
    with pytest.raises(ValueError, match=r"large\.png has 3 MiB but at most 1 are allowed"):
        limits.check(replace(GOOD, images=(tmp_path / "large.png",)))
    soundfile.write(tmp_path / "long.wav", *tiny.voice(6.0))
    with pytest.raises(ValueError, match=r"lasts 6\.0 s but at most 5 s are allowed"):
        Limits(voice_seconds=5).check(replace(GOOD, audio=tmp_path / "long.wav"))
    samples = np.ones(SAMPLE_RATE * 7, np.float32)
    with pytest.raises(ValueError, match=r"lasts 7\.0 s"):
        Limits(voice_seconds=5).check(replace(GOOD, audio=Sound(samples, samples[:, None], SAMPLE_RATE)))
    (tmp_path / "torn.png").write_bytes(picture.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"torn\.png is damaged"):
        limits.check(replace(GOOD, images=(tmp_path / "torn.png",)))


JUNK = (
    None, True, 0, -1, 1.5, float("nan"), float("-inf"), 10**30, "", "a", "a" * 10**5, b"x", [], ["a"], {}, {"rule": 1},
    {"rule": "paper", "early": "abc"}, (), Path("."), Path("/"), object(), {"path": "/etc/passwd"}, "\ud800", "\0",
)  # fmt: skip


def test_no_junk_of_any_type_brings_anything_but_a_sentence() -> None:
    rng, limits, refused = random.Random(0), Limits(), 0
    names = [name for name in VideoRequest.__slots__ if name != "images"]
    for _ in range(2_000):
        changes = {name: rng.choice(JUNK) for name in rng.sample(names, rng.randint(1, 4))}
        if rng.random() < 0.3:
            changes["images"] = (rng.choice(JUNK),)
        try:
            limits.check(replace(GOOD, **changes))
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 400, changes
    assert 1_500 < refused < 2_000, "and some are fine"


@pytest.mark.parametrize(
    ("peer", "header", "proxies", "client"),
    [
        ("1.2.3.4", None, 0, "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", 0, "1.2.3.4"),
        ("10.0.0.1", "9.9.9.9", 1, "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", 2, "9.9.9.9"),
        ("10.0.0.1", "9.9.9.9", 3, "9.9.9.9"),
        ("10.0.0.1", " , ", 1, "10.0.0.1"),
        ("10.0.0.1", "<script>", 1, "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", None, 0, "2001:db8:1:2::"),
        ("::ffff:1.2.3.4", None, 0, "1.2.3.4"),
        (None, None, 0, "unknown"),
    ],
)
def test_a_client_is_who_a_proxy_of_ours_says(peer: str | None, header: str | None, proxies: int, client: str) -> None:
    assert client_of(peer, header, proxies) == client


def _job(phase: Phase = Phase.DENOISING) -> Any:
    return SimpleNamespace(progress=Progress(phase=phase))


def test_so_many_videos_an_hour() -> None:
    now = [0.0]
    gate = Gate(Limits(jobs_per_hour=2), clock=lambda: now[0])
    gate.start("anna", _job)
    now[0] = 600.0
    gate.start("anna", _job)
    with pytest.raises(ValueError, match=r"^2 videos an hour are granted here: please try again in 50 min\.$"):
        gate.start("anna", _job)
    gate.start("ben", _job)
    now[0] = 3_600.0
    gate.start("anna", _job)
    with pytest.raises(ValueError, match="in 10 min"):
        gate.start("anna", _job)


def test_a_live_session_counts_as_a_video_unless_it_is_refused() -> None:
    gate = Gate(Limits(jobs_per_hour=2))
    with pytest.raises(ValueError, match="Somebody else is live"), gate.granted("anna"):
        raise ValueError("Somebody else is live at the moment.")
    with gate.granted("anna"):
        pass
    gate.start("anna", _job)
    with pytest.raises(ValueError, match="^2 videos an hour are granted here"), gate.granted("anna"):
        pytest.fail("began over the limit")
    with Gate(Limits()).granted("anna"):
        pass


def test_so_many_videos_at_once() -> None:
    gate, jobs = Gate(Limits(jobs_at_once=2)), [_job(), _job()]
    for job in jobs:
        assert gate.start("anna", lambda job=job: job) is job
    with pytest.raises(ValueError, match="2 videos of yours are still being made"):
        gate.start("anna", _job)
    gate.start("ben", _job)
    jobs[0].progress = Progress(phase=Phase.STOPPED)
    gate.start("anna", _job)


def test_what_is_refused_elsewhere_does_not_count() -> None:
    gate = Gate(Limits(jobs_per_hour=1))

    def refuse() -> Any:
        raise ValueError("the queue is full.")

    for _ in range(3):
        with pytest.raises(ValueError, match="the queue is full"):
            gate.start("anna", refuse)
    gate.start("anna", _job)


def test_clients_are_forgotten_and_without_limits_nobody_is_refused() -> None:
    now = [0.0]
    gate, lavish = Gate(Limits(), clock=lambda: now[0]), Gate(Limits(jobs_per_hour=500), clock=lambda: now[0])
    for number in range(300):
        now[0] += 30.0
        for each in (gate, lavish):
            each.start(f"client {number}", lambda: _job(Phase.DONE))
            each.start("anna", lambda: _job(Phase.DONE))
    assert len(lavish._hourly._times) == 1 + 120, "those of the last hour"
    assert set(gate._jobs) == set(lavish._jobs) == {"anna"}, "the last one, whose job nobody has looked at since"


def test_threads_at_one_gate_do_not_get_past_it() -> None:
    gate, ids, results = Gate(Limits(jobs_per_hour=5)), itertools.count(), []

    def knock() -> None:
        try:
            gate.start("anna", lambda: next(ids) and _job() or _job())
            results.append(True)
        except ValueError:
            results.append(False)

    threads = [threading.Thread(target=knock) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 35 + [True] * 5 and next(ids) == 5


def test_limits_from_the_environment() -> None:
    assert Limits.from_environment({}) == Limits()
    set_ones = {"HUMO_JOBS_PER_HOUR": "20", "HUMO_TRUSTED_PROXIES": "1", "HUMO_JOBS_AT_ONCE": "0", "OTHER": "x"}
    assert Limits.from_environment(set_ones) == Limits(jobs_per_hour=20, trusted_proxies=1)
    assert Limits.from_environment({"HUMO_VOICE_SECONDS": " 30 "}).voice_seconds == 30
    assert Limits.from_environment({"HUMO_DISK_MIB": "64"}).disk_mib == 64
    for name in ("HUMO_DISK_MIB", "HUMO_VOICE_SECONDS"):
        with pytest.raises(ValueError, match=f"^{name} is '0': give a whole number from 1 on, or leave it out.$"):
            Limits.from_environment({name: "0"})
    for text in ("many", "-1", "1.5", "²"):
        with pytest.raises(ValueError, match="HUMO_JOBS_PER_HOUR is .* give a whole number"):
            Limits.from_environment({"HUMO_JOBS_PER_HOUR": text})


def test_a_space_without_a_trusted_proxy_is_told() -> None:
    space = {"SPACE_ID": "anna/page"}
    assert Limits().missing_proxy(space).startswith("HUMO_TRUSTED_PROXIES is 0 on a Space")
    assert Limits().missing_proxy({}) == Limits(trusted_proxies=1).missing_proxy(space) == ""


def test_who_is_counted_holds_up_nobody_and_is_counted_at_once() -> None:
    hourly, granted = Hourly(1, "links"), list[str]()

    def ask() -> None:
        with hourly.granted("ben"):
            granted.append("ben")

    asking = threading.Thread(target=ask, daemon=True)
    with pytest.raises(ValueError, match="refused"), hourly.granted("anna"):
        asking.start()
        asking.join(30)
        with pytest.raises(ValueError, match="^1 links an hour"):
            hourly.count("anna")
        raise ValueError("refused")
    assert granted == ["ben"]
    hourly.count("anna")


def test_links_are_counted_by_the_hour() -> None:
    now = [0.0]
    hourly = Hourly(2, "links", lambda: now[0])
    hourly.count("anna")
    now[0] = 60.0
    hourly.count("anna")
    hourly.count("berta")
    with pytest.raises(ValueError, match="2 links an hour are granted here: please try again in 58 min."):
        now[0] = 120.0
        hourly.count("anna")
    now[0] = HOUR + 1
    hourly.count("anna")
    with pytest.raises(ValueError, match="links an hour"):
        hourly.count("anna")
