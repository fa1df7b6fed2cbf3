"""Long sounds in shots: they are made once, joined under the whole sound, and a stopped run goes on.

Run: python -m pytest tests/shots/test_shots.py
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from imageio_ffmpeg import get_ffmpeg_exe
from loras import save_lora

from humo.checkpoints import MINI, load
from humo.layers.step_caches import cached, describe_cache
from humo.loading.lora_files import LoraFile
from humo.loading.loras import with_loras
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState
from humo.shots.cuts import Shot, count_frames, cut_sound
from humo.shots.folder import MAX_METADATA, ShotFolder
from humo.shots.generation import longest_shot, make_shots, plan_shots, prompt_of_each
from humo.world.speech import speak

PROMPT = "a woman with red hair talks"
RATE = 16_000


def test_one_prompt_for_all_or_one_for_each() -> None:
    assert prompt_of_each("a", 2) == prompt_of_each(["a"], 2) == ["a", "a"]
    assert prompt_of_each(["a", "b"], 2) == ["a", "b"]
    for prompts in ([], ["a", "b"], ["a", "b", "c", "d"]):
        words = f"There are 3 shots but {len(prompts)} prompts: give one for all, or 3, one for each."
        with pytest.raises(ValueError, match=words):
            prompt_of_each(prompts, 3)


def test_the_longest_shot_is_what_the_model_was_trained_on() -> None:
    assert longest_shot({}) == longest_shot({"max_trained_frames": None, "max_frames": None}) == 97
    assert longest_shot({"max_trained_frames": 49, "max_frames": 251}) == 49
    assert longest_shot({"max_frames": 20}) == 17
    assert longest_shot(json.loads((MINI / "model_index.json").read_text())) == 49


# Making

SOUND = tiny.noise((0.3, 0.5), (0.16, 0), (0.27, 0.5), (0.17, 0), (0.21, 0.5))
SHOTS = [Shot(1, 0, 9, "in a pause"), Shot(2, 9, 17, "in a pause"), Shot(3, 17, 28, "the sound ends")]


def description(path: Path) -> dict:
    """The settings in a video's metadata."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("description="))
    return json.loads(re.sub(r"\\(.)", r"\1", line.removeprefix("description=")))


class Counter:
    """Counts the steps of every shot, and stops like a kill at a step of a shot."""

    def __init__(self, stop_in: int | None = None) -> None:
        self.steps: dict[int, int] = {}
        self.stop_in = stop_in

    def __call__(self, shot: Shot, state: StepState) -> None:
        if shot.number == self.stop_in and state.index == 1:
            raise KeyboardInterrupt
        self.steps[shot.number] = self.steps.get(shot.number, 0) + 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_shots_are_what_single_calls_make(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pipeline: HuMoPipeline = request.getfixturevalue(form)
    sound = read_sound((SOUND, RATE))
    prompts = [PROMPT, "a man nods", "a woman nods"]
    given = {"image": tiny.picture(), "num_inference_steps": 2}
    video = make_shots(pipeline, SHOTS, prompts, tmp_path / "a" / "b", sound, seed=5, **given)
    assert video.frames.shape[0] == 28 == count_frames(sound)
    for index, (shot, prompt) in enumerate(zip(SHOTS, prompts, strict=True)):
        heard = cut_sound(sound, shot.start, shot.start + shot.num_frames_made)
        single = pipeline(prompt, audio=heard, num_frames=shot.num_frames_made, seed=5 + index, **given)
        np.testing.assert_array_equal(video.frames[shot.start : shot.stop], single.frames[: shot.num_frames])
    first = pipeline(PROMPT, audio=(SOUND[: 9 * 640], RATE), seed=5, **given)
    np.testing.assert_array_equal(video.frames[:9], first.frames)
    assert video.settings["mode"] == "TIA" and video.settings["prompt"] == prompts
    assert video.notes == []


def test_the_joined_video_plays_the_untouched_sound(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    rate, samples = 22_050, np.stack([tiny.noise((1.1, 0.5), rate=22_050), tiny.noise((1.1, 0.2), rate=22_050)], axis=1)
    soundfile.write(tmp_path / "voice.wav", samples, rate, subtype="PCM_16")
    written, _ = soundfile.read(tmp_path / "voice.wav", dtype="float32")
    video = make_shots(mini_pipeline, SHOTS, PROMPT, tmp_path / "shots", tmp_path / "voice.wav", seed=3)
    np.testing.assert_array_equal(video.audio[0], written)
    assert video.audio[1] == rate
    out = video.save(tmp_path / "out.mp4", scale=2)
    probe = subprocess.run([get_ffmpeg_exe(), "-i", str(out)], capture_output=True, text=True, check=False).stderr
    for words in ("128x128", "25 fps", "Duration: 00:00:01.1", "Audio: aac", "22050 Hz, stereo", "AI-generated"):
        assert words in probe, words
    stored = description(out)
    assert stored == json.loads((tmp_path / "shots" / "shots.json").read_text()) == video.settings
    single = mini_pipeline(PROMPT, num_frames=5, audio=(SOUND, RATE), seed=3).settings
    assert stored.keys() == single.keys() | {"shots"}
    assert {**single, "num_frames": 28} == {key: value for key, value in stored.items() if key != "shots"}
    assert [shot["start"] for shot in stored["shots"]] == [0.0, 0.36, 0.68]
    assert [shot["seed"] for shot in stored["shots"]] == [3, 4, 5]
    assert sorted(path.name for path in (tmp_path / "shots").iterdir()) == sorted(
        [f"shot-00{i}.{ending}" for i in (1, 2, 3) for ending in ("json", "mp4", "npz")] + ["shots.json"]
    )


def test_frames_are_joined_in_order(tmp_path: Path) -> None:
    """Frame k of the grid is what is seen from k / 25 s on: decoded and compared by its brightness."""
    levels = np.random.default_rng(3).permutation(np.arange(28) * 8 + 16).astype(np.uint8)
    folder, sound = ShotFolder(tmp_path / "shots"), (SOUND, RATE)
    folder.begin({})
    for shot in reversed(SHOTS):
        part = levels[shot.start : shot.stop, None, None, None]
        folder.write(shot, np.broadcast_to(part, (len(part), 32, 48, 3)), sound, {}, "")
    out = folder.join(SHOTS, tmp_path / "out.mp4", sound, {})
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(out), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(-1, 32, 48, 3).mean((1, 2, 3))
    assert len(shown) == 28
    np.testing.assert_allclose(shown, levels, atol=3)


@pytest.mark.slow
def test_a_stopped_run_goes_on(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    def make(folder: str, counter: Counter, seed: int | None = None):
        return make_shots(mini_pipeline, SHOTS, PROMPT, tmp_path / folder, (SOUND, RATE), seed=seed, on_step=counter)

    stopped = Counter(stop_in=2)
    with pytest.raises(KeyboardInterrupt):
        make("shots", stopped)
    assert stopped.steps == {1: 2, 2: 1}
    assert sorted(path.stem for path in (tmp_path / "shots").glob("shot-*.json")) == ["shot-001"]
    before = (tmp_path / "shots" / "shot-001.npz").stat()
    again = Counter()
    video = make("shots", again)
    assert again.steps == {2: 2, 3: 2}
    after = (tmp_path / "shots" / "shot-001.npz").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert video.notes == [
        f"The seed of the earlier run in shots is used: {video.seed}.",
        "Kept from the earlier run: shot 1.",
    ]
    np.testing.assert_array_equal(video.frames, make("other", Counter(), video.seed).frames)


@pytest.mark.slow
def test_only_what_changed_is_made_again(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    def made(pipe: HuMoPipeline = mini_pipeline, prompts: tuple[str, ...] = (PROMPT,), **changes) -> set[int]:
        counter = Counter()
        given = {"audio": (SOUND, RATE), "seed": 1, **changes}
        make_shots(pipe, SHOTS, prompts, tmp_path / "shots", on_step=counter, **given)
        return set(counter.steps)

    assert made() == {1, 2, 3}
    assert made() == set()
    assert made(prompts=(PROMPT, "a man nods", PROMPT)) == {2}
    assert made() == {2}
    louder = SOUND.copy()
    louder[-4000:] *= 1.1
    assert made(audio=(louder, RATE)) == {3}
    assert made(image=tiny.picture()) == {1, 2, 3}
    assert made(image=tiny.picture()) == set()
    assert made(image=tiny.picture(20, 60)) == {1, 2, 3}
    assert made(image=tiny.picture(20, 60), guidance={"rule": "constant"}) == {1, 2, 3}
    assert made(image=tiny.picture(20, 60), guidance={"rule": "constant"}, seed=2) == {1, 2, 3}
    other = tiny.pipeline("mini")
    given = {"image": tiny.picture(20, 60), "guidance": {"rule": "constant"}, "seed": 2}
    assert made(other, **given) == set()  # the same weights, loaded anew
    first, norm = "transformer.patch_embedding.weight", "transformer.blocks.1.attn1.norm_q.weight"
    for part in (first, norm, "vae.components.bias"):
        attrgetter(part)(other).data += 0.1
        assert made(other, **given) == {1, 2, 3}, part
    with cached(other.transformer, "taylor"):
        assert made(other, **given) == {1, 2, 3}
        kept = make_shots(other, SHOTS, PROMPT, tmp_path / "shots", audio=(SOUND, RATE), **given)
        assert kept.settings["cache"] == describe_cache(other.transformer)
    save_lora(tmp_path / "a.safetensors", other)
    for weight in (1.0, 0.5):
        with with_loras(other, [LoraFile(tmp_path / "a.safetensors", weight)]):
            assert made(other, **given) == {1, 2, 3} and made(other, **given) == set()
            kept = make_shots(other, SHOTS, PROMPT, tmp_path / "shots", audio=(SOUND, RATE), **given)
        assert [each["weight"] for each in kept.settings["loras"]] == [weight]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "record"])
def test_damaged_shots_are_made_again(mini_pipeline: HuMoPipeline, tmp_path: Path, damage: str) -> None:
    video = make_shots(mini_pipeline, SHOTS, PROMPT, tmp_path, (SOUND, RATE), seed=1)
    frames, saved = video.frames, tmp_path / "shot-002.npz"
    content = saved.read_bytes()
    if damage == "cut":
        saved.write_bytes(content[:-500])
    elif damage == "flipped":
        middle = len(content) // 2
        saved.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    elif damage == "gone":
        saved.unlink()
    else:
        (tmp_path / "shot-002.json").write_text("{")
    (tmp_path / "shot-003.npz.part").write_bytes(b"left by a kill")
    if damage != "record":
        with pytest.raises(ValueError, match="shot-002.npz is missing or damaged: make the shots again"):
            video.save(tmp_path / "out.mp4")
        assert not (tmp_path / "out.mp4").exists()
    counter = Counter()
    again = make_shots(mini_pipeline, SHOTS, PROMPT, tmp_path, (SOUND, RATE), seed=1, on_step=counter)
    assert set(counter.steps) == {2}
    told = "Shot 2 in " + tmp_path.name + " is damaged: it is made again."
    assert (told in again.notes) == (damage != "record")
    np.testing.assert_array_equal(again.frames, frames)
    assert not [*tmp_path.glob(".humo-*"), *tmp_path.glob("*.part")]


@pytest.mark.slow
def test_a_silent_shot_in_a_sound_is_no_mistake(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    sound = tiny.noise((0.4, 0.5), (1.2, 0), (0.4, 0.5))
    shots = plan_shots(sound, RATE, 9)
    assert any(not cut_sound(read_sound((sound, RATE)), shot.start, shot.stop).original.any() for shot in shots)
    video = make_shots(mini_pipeline, shots, PROMPT, tmp_path, (sound, RATE), seed=1)
    assert len(video.frames) == 50


def test_a_process_that_does_not_write_leaves_no_files(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    counter, folder = Counter(), tmp_path / "shots"
    make_shots(mini_pipeline, SHOTS, PROMPT, folder, (SOUND, RATE), seed=1, on_step=counter, is_writer=False)
    assert counter.steps == {1: 2, 2: 2, 3: 2} and not folder.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": ["a", "b"]}, "There are 3 shots but 2 prompts"),
        ({"prompts": ["a", "b", " "]}, "prompt is empty"),
        ({"prompts": ["a", "b", "x" * 2001]}, "2,001 characters"),
        ({"shots": SHOTS[:2]}, "do not cover the sound's 28 frames once"),
        ({"shots": [SHOTS[0], replace(SHOTS[1], start=8), SHOTS[2]]}, "do not cover"),
        ({"shots": []}, "do not cover"),
        ({"folder": "file"}, "file is a file: give a folder"),
        ({"folder": "file/shots"}, "shots is not to be written"),
        ({"height": 70}, "multiple of 32"),
        ({"seed": 2**63 - 2}, "seed must be between 0"),
        ({"image": "nobody.png"}, "nobody.png does not exist"),
        ({"guidance": {"rule": "cfg"}}, "'cfg' is unknown"),
        ({"audio": (SOUND * 0, RATE)}, "silent"),
    ],
)
def test_refused_before_the_first_shot(
    mini_pipeline: HuMoPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a folder")
    counter = Counter()
    given = {"shots": SHOTS, "prompts": PROMPT, "folder": "shots", "audio": (SOUND, RATE), "seed": 1, **changes}
    with pytest.raises(ValueError, match=words) as error:
        make_shots(mini_pipeline, on_step=counter, **given)
    assert str(error.value).endswith(".") and not counter.steps and not Path("shots").exists()


def test_the_settings_of_very_many_shots_stay_in_the_folder(tmp_path: Path) -> None:
    shots = [Shot(i + 1, i, i + 1, "in a pause of 0.50 s") for i in range(400)]
    settings = {"prompt": ["x" * 500] * 400, "shots": [{"start_frame": shot.start} for shot in shots]}
    folder = ShotFolder(tmp_path / "shots")
    folder.begin(settings)
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    for shot in shots:
        np.savez(folder.path / f"shot-{shot.number:03d}.npz", frames=frames)
    out = folder.join(shots, tmp_path / "out.mp4", (np.zeros(RATE * 16, np.float32), RATE), settings)
    assert len(json.dumps(settings)) > MAX_METADATA
    assert description(out) == {"prompt": "see shots.json", "shots": list(range(400))}


@pytest.mark.slow
def test_the_bundled_model_speaks_a_sentence_in_shots(tmp_path: Path) -> None:
    speech = speak("Good morning, my dear friends. Let us see what the day will bring.").waveform
    pipe = load("mini", device="cpu")
    shots = plan_shots(speech, RATE, longest_shot(pipe.config))
    assert len(shots) > 1
    video = make_shots(pipe, shots, PROMPT, tmp_path / "shots", (speech, RATE), num_inference_steps=1, seed=1)
    assert len(video.frames) == shots[-1].stop
    assert video.save(tmp_path / "out.mp4").stat().st_size > 1000
    assert not any("windows" in note for note in video.notes)
