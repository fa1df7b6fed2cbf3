"""A long sound in one take: pieces that go on from each other, made once and taken up again.

Run: python -m pytest tests/shots/test_take.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from humo.__main__ import main
from humo.checkpoints import MINI
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.requests.output import fade
from humo.sampling import StepState
from humo.shots.cuts import Shot, count_frames, cut_sound
from humo.shots.generation import make_shots, plan_shots
from humo.shots.take import plan_take

SOUND = tiny.noise((0.5, 0.5), (0.2, 0), (0.7, 0.5))
RATE = 16_000
GIVEN: dict[str, Any] = {"image": tiny.picture(), "num_inference_steps": 2, "seed": 5}


@pytest.mark.parametrize("total", [1, 17, 18, 35, 100, 1234])
@pytest.mark.parametrize(("longest", "overlap"), [(17, 5), (17, 13), (49, 9), (97, 1)])
def test_pieces_cover_the_sound_once(total: int, longest: int, overlap: int) -> None:
    pieces = plan_take(total, longest, overlap)
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == total and [piece.number for piece in pieces] == list(range(1, len(pieces) + 1))
    for piece in pieces:
        assert piece.num_frames >= 1 and piece.num_frames_made <= longest
        assert piece.overlap == (overlap if piece.number > 1 else 0)
        if piece.stop < total:
            assert piece.num_frames_made == piece.overlap + piece.num_frames, "nothing of it is thrown away"


def test_plans_that_leave_nothing_to_be_made_are_refused() -> None:
    for numbers, sentence in (((100, 16, 5), "max_frames"), ((100, 17, 6), "overlap"), ((100, 9, 9), "use 13 or more")):
        with pytest.raises(ValueError, match=sentence):
            plan_take(*numbers)


def test_pieces_are_what_single_calls_make(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    sound = read_sound((SOUND, RATE))
    pieces = plan_take(count_frames(sound), 17, 5)
    video = make_shots(mini_pipeline, pieces, "a woman talks", tmp_path, sound, **GIVEN)
    prompt, image, steps = "a woman talks", tiny.picture(), 2
    made = mini_pipeline(
        prompt, image=image, audio=cut_sound(sound, 0, 17), num_frames=17, num_inference_steps=steps, seed=5
    )
    for piece in pieces[1:]:
        part = cut_sound(sound, piece.start, piece.start - piece.overlap + piece.num_frames_made)
        made = mini_pipeline(
            prompt,
            image=image,
            audio=part,
            num_frames=piece.num_frames_made,
            num_inference_steps=steps,
            seed=4 + piece.number,
            continue_from=made,
            overlap=5,
        )
    np.testing.assert_array_equal(video.frames, made.whole().frames[: len(video.frames)])
    assert len(video.frames) == 35 and video.settings["shots"][1]["overlap"] == 5
    np.testing.assert_array_equal(video.audio[0][:, 0], SOUND)


def test_a_stopped_take_goes_on(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    sound = read_sound((SOUND, RATE))
    pieces = plan_take(35, 17, 5)
    assert len(pieces) >= 3

    def make(folder: Path, stop_in: int | None = None, **changes: Any) -> tuple[Any, list[int]]:
        seen: list[int] = []

        def step(shot: Shot, state: StepState) -> None:
            if shot.number == stop_in:
                raise KeyboardInterrupt
            seen.append(shot.number)

        return make_shots(mini_pipeline, pieces, "a man nods", folder, sound, on_step=step, **GIVEN | changes), seen

    whole, _ = make(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "stopped", stop_in=3)
    video, seen = make(tmp_path / "stopped")
    assert 1 not in seen and 2 not in seen and 3 in seen
    np.testing.assert_array_equal(video.frames, whole.frames)
    assert "Kept from the earlier run: shot 1, 2." in video.notes
    assert make(tmp_path / "stopped")[1] == []
    (tmp_path / "stopped" / "shot-002.npz").write_bytes(b"")
    again, seen = make(tmp_path / "stopped")
    assert set(seen) == {2}
    np.testing.assert_array_equal(again.frames, whole.frames, "a damaged piece is made anew from the one before")
    _, seen = make(tmp_path / "stopped", resampling=1)
    assert set(seen) == {piece.number for piece in pieces[1:]}, "what is known otherwise is made otherwise"
    with pytest.raises(ValueError, match="resampling is of a take, and these are shots"):
        make_shots(mini_pipeline, [Shot(1, 0, 35, "")], "a man", tmp_path / "x", sound, resampling=1)


def test_a_take_goes_on_in_a_folder_of_shots(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    sound, pieces = read_sound((SOUND, RATE)), plan_take(35, 17, 5)
    first = pieces[0]
    shots = [first, Shot(2, first.stop, 33, "cut"), Shot(3, 33, 35, "the sound ends")]
    make_shots(mini_pipeline, shots, "a man nods", tmp_path / "both", sound, **GIVEN)
    video = make_shots(mini_pipeline, pieces, "a man nods", tmp_path / "both", sound, **GIVEN)
    assert (
        "Shot 1 in both was made as a shot by itself, without what a take goes on from: it is made again."
        in video.notes
    )
    whole = make_shots(mini_pipeline, pieces, "a man nods", tmp_path / "whole", sound, **GIVEN)
    np.testing.assert_array_equal(video.frames, whole.frames)


def test_joined_pieces_fade_into_each_other(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    sound = read_sound((SOUND, RATE))
    pieces = plan_take(35, 17, 5)
    video = make_shots(mini_pipeline, pieces, "a man nods", tmp_path, sound, **GIVEN)
    with np.load(tmp_path / "shot-001.npz") as first, np.load(tmp_path / "shot-002.npz") as second:
        np.testing.assert_array_equal(video.frames[:17], fade(first["frames"], second["overlapped"]))
        assert first["latents"].shape[1] == 5 and len(second["overlapped"]) == 5


@pytest.mark.slow
def test_the_command_makes_a_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    tiny.picture().save(tmp_path / "first.png")
    soundfile.write(tmp_path / "voice.wav", tiny.noise((2.4, 0.5)), RATE)
    common = ["generate", "--prompt", "a man talks", "--steps", "1", "--seed", "3", "--fast"]
    out = ["--out", str(tmp_path / "out.mp4")]
    take = ["--take", str(tmp_path / "take"), "--audio", str(tmp_path / "voice.wav"), "--frames", "33"]
    assert main([*common, *out, *take]) == 0
    assert "out.mp4: 60 frames" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "take" / "shots.json").read_text())["shots"]) == 3
    more = ["--continue-from", str(tmp_path / "out.mp4"), "--frames", "17", "--out", str(tmp_path / "more.mp4")]
    assert main([*common, *more]) == 0
    assert "more.mp4: 64 frames" in capsys.readouterr().out
    for given, sentence in (
        (["--take", "a", "--shots", "b"], "--shots and --take cannot both be: give one of them"),
        (["--take", "a"], "--take cuts a sound, and none is given: add --audio"),
        (["--overlap", "5"], "--overlap says how much is known of what comes before: add --take or --continue-from"),
        (
            ["--continue-from", str(tmp_path / "out.mp4"), "--first-frame", str(tmp_path / "first.png")],
            "continue_from and first_frame both say what is known",
        ),
    ):
        assert main([*common, *out, *given]) != 0
        assert sentence in capsys.readouterr().err


def test_mini_takes_as_long_pieces_as_it_was_trained_on() -> None:
    from humo.shots.generation import longest_shot

    longest = longest_shot(json.loads((MINI / "model_index.json").read_text()))
    assert max(piece.num_frames_made for piece in plan_take(500, longest)) == 49
    assert len(plan_shots(tiny.noise((1.0, 0.5)), RATE, 49)) == 1
