"""The sound is heard earlier or later than it is played: what the model hears moves, what is played stays.

Run: python -m pytest tests/requests/test_audio_shift.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from torch import Tensor

from humo.__main__ import main
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.requests.call import read_call
from humo.shots.generation import make_shots, plan_shots
from humo.space.jobs.limits import Limits
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.links.records import Record
from humo.space.links.settings import VideoSettings, read_settings
from humo.space.links.share import share
from humo.space.links.storage import FolderStore

ASKED = {"prompt": "a woman talks", "num_inference_steps": 2, "seed": 5}
NO_SHIFT = [201, -201, 80.0, 0.5, float("nan"), float("inf"), "80", True, None, [80], 10**400]


def _windows(pipe: HuMoPipeline, audio: tuple[np.ndarray, int], num_frames: int = 17, **given: int) -> Tensor:
    """What the network would hear."""
    call = read_call(pipe, **ASKED, audio=audio, num_frames=num_frames, **given)
    return pipe.encode_conditions(call.read_request, call.pictures, call.heard).audio


@pytest.mark.parametrize("frames", [2, -2, 5, -5])
@pytest.mark.parametrize("seconds", [0.5, 0.68, 1.2])
def test_the_windows_are_those_of_a_sound_moved_by_whole_frames(
    frames: int, seconds: float, mini_pipeline: HuMoPipeline
) -> None:
    samples, rate = tiny.voice(seconds)
    moved = np.pad(samples, (frames * 640, 0)) if frames > 0 else samples[-frames * 640 :]
    shifted = _windows(mini_pipeline, (samples, rate), audio_shift=40 * frames)
    assert torch.equal(shifted, _windows(mini_pipeline, (moved, rate)))
    assert not torch.equal(shifted, _windows(mini_pipeline, (samples, rate)))


def test_what_is_played_stays_sample_by_sample(mini_pipeline: HuMoPipeline) -> None:
    samples, rate = tiny.voice(0.36, 22_050)
    plain, later, earlier = (
        mini_pipeline(**ASKED, audio=(samples, rate), audio_shift=shift) for shift in (0, 80, np.int64(-35))
    )
    for video in (later, earlier):
        assert np.array_equal(video.audio[0], plain.audio[0]) and video.audio[1] == rate
        assert len(video.frames) == len(plain.frames) == 9 and not np.array_equal(video.frames, plain.frames)
    assert later.notes == ["The mouth moves 80 ms later than the sound is played.", *plain.notes]
    assert earlier.notes[0] == "The mouth moves 35 ms earlier than the sound is played."
    assert later.settings == {**plain.settings, "audio_shift": 80}
    assert json.loads(json.dumps(earlier.settings))["audio_shift"] == -35


def test_without_a_shift_nothing_is_different(mini_pipeline: HuMoPipeline) -> None:
    sound = read_sound(tiny.voice(0.36))
    assert sound.shifted(0) is sound
    plain, zero = (mini_pipeline(**ASKED, audio=sound, **given) for given in ({}, {"audio_shift": 0}))
    assert np.array_equal(plain.frames, zero.frames)
    assert plain.settings == zero.settings and "audio_shift" not in zero.settings


def test_the_level_is_that_of_the_whole_sound() -> None:
    pipe = tiny.pipeline("mini", heard_level=-20.0)
    samples, rate = tiny.voice(1.0)
    quiet = samples * 0.02
    quiet[: rate // 10] *= 8  # what a shift to the front leaves out
    plain = read_call(pipe, **ASKED, audio=(quiet, rate))
    earlier = read_call(pipe, **ASKED, audio=(quiet, rate), audio_shift=-100)
    assert np.array_equal(earlier.heard[: len(quiet) - rate // 10], plain.heard[rate // 10 : len(quiet)])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_shifts_of_a_batch_are_each_ones_own(form: str, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(form)
    given = [{**ASKED, "audio": tiny.voice(0.36), "audio_shift": shift} for shift in (0, 120, -120)]
    together = pipe.generate_batch([read_call(pipe, **one) for one in given])
    for one, output in zip(given, together, strict=True):
        alone = pipe(**one)
        assert np.abs(alone.frames.astype(int) - output.frames).max() <= 1, "but for rounding"
        assert output.settings == alone.settings and output.notes == alone.notes
    assert not np.array_equal(together[1].frames, together[2].frames)


@pytest.mark.parametrize("value", NO_SHIFT, ids=range(len(NO_SHIFT)))
def test_what_is_no_shift_is_refused_everywhere(value: object, mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    words = "^audio_shift is .*: give a whole number of milliseconds from -200 to 200.$"
    sound = tiny.voice(0.36)
    with pytest.raises(ValueError, match=words):
        mini_pipeline(**ASKED, audio=sound, audio_shift=value)
    with pytest.raises(ValueError, match=words):
        make_shots(mini_pipeline, plan_shots(*sound), "a woman", tmp_path / "shots", sound, audio_shift=value)
    with pytest.raises(ValueError, match=words):
        Limits().check(VideoRequest(prompt="a woman", audio=read_sound(sound), audio_shift=value))
    plain = mini_pipeline(**ASKED, audio=sound).settings
    with pytest.raises(ValueError, match=words):
        VideoSettings.of_plain({**plain, "audio_shift": value})


def test_a_shift_without_a_sound_is_refused(mini_pipeline: HuMoPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    words = "audio_shift is 80 but there is no sound to shift: give one, or no shift."
    with pytest.raises(ValueError, match=words):
        mini_pipeline(**ASKED, audio_shift=80)
    with pytest.raises(ValueError, match=words):
        Limits().check(VideoRequest(prompt="a woman", audio_shift=80))
    assert main(["generate", "--prompt", "a woman", "--shift", "80", "--preset", "nowhere"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_shots_hear_the_shifted_whole(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    """A shot begins with the sound that the shift brings over from the shot before it."""
    samples, rate = tiny.voice(1.4)
    shots = plan_shots(samples, rate, max_frames=17)
    given = {"num_inference_steps": 1, "seed": 5}
    moved = np.pad(samples, (2 * 640, 0))[: len(samples)]
    whole = make_shots(mini_pipeline, shots, "a woman", tmp_path / "a", (samples, rate), audio_shift=80, **given)
    of_moved = make_shots(mini_pipeline, shots, "a woman", tmp_path / "b", (moved, rate), **given)
    assert len(shots) > 1 and np.array_equal(whole.frames, of_moved.frames)
    assert np.array_equal(whole.audio[0][:, 0], samples) and whole.settings["audio_shift"] == 80
    again = make_shots(mini_pipeline, shots, "a woman", tmp_path / "a", (samples, rate), **given)
    assert any("is made again" in note for note in again.notes), "another shift, other shots"
    assert "audio_shift" not in again.settings


@pytest.mark.slow
def test_command_file_and_link_carry_it(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    mini_pipeline.save_pretrained(tmp_path / "tiny")
    voice, out = tmp_path / "voice.wav", tmp_path / "out.mp4"
    soundfile.write(voice, *tiny.voice(0.6))
    asked = f"--preset {tmp_path / 'tiny'} --audio {voice} --frames 9 --steps 1 --shift -120 --out {out}".split()
    assert main(["generate", "--prompt", "a woman talks", *asked]) == 0
    assert read_settings(out).audio_shift == -120

    request = VideoRequest(
        prompt="a woman talks", audio=voice, num_frames=9, seed=5, num_inference_steps=1, audio_shift=-120
    )
    result = MakeVideo(request, tmp_path / "film.mp4").run(mini_pipeline, lambda moment: None)
    store = FolderStore(tmp_path / "records")
    record, _ = share(store, result, request, "", keep_inputs=True)
    kept = store.read(record.id)
    assert kept.settings.audio_shift == -120 and Record.from_json(kept.to_json()) == kept
    again = VideoRequest(
        prompt="a woman talks", audio=store.file(kept.id, kept.voice), num_frames=9, audio_shift=-120, seed=5
    )
    heard, before = (each.read(mini_pipeline).heard for each in (again, request))
    assert np.allclose(heard, before, atol=1e-6), "what the model heard after the video's end is kept too"


def test_settings_without_one_are_read() -> None:
    earlier = Path(__file__).parents[1] / "earlier" / "ab05ed5" / "video.mp4"
    assert read_settings(earlier).audio_shift == 0
