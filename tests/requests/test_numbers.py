"""Numbers of a call: checked before anything is computed, NumPy's taken as any; every seed has a noise of its own.

Run: python -m pytest tests/requests/test_numbers.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import tiny
import torch

from humo.__main__ import main
from humo.guidance import constant, cosine, linear, make_rule, paper, published_17b, step
from humo.pipeline import HuMoPipeline
from humo.requests.noise import draw_noise
from humo.shots.generation import longest_shot, make_shots, plan_shots
from humo.system.ranges import LARGEST_SEED

REQUEST = {"prompt": "a woman talks", "num_inference_steps": 1, "num_frames": 5}
NO_WHOLE = [float("nan"), float("inf"), "5", "five", True, 5.0, 5.5, [5], {}, np.float32(5), np.bool_(True), 1j]
FAR = [-(10**400), -(2**70), 2**70, 10**400, 10**5_000]
NO_SCALES = [float("nan"), float("inf"), -float("inf"), "2", True, 1e9, -101.0, None, [1.0], 10**400, np.float64("nan")]


@pytest.fixture
def unread(mini_pipeline: HuMoPipeline) -> Iterator[HuMoPipeline]:
    """A pipeline none of whose networks may run."""

    def fail(*_: object) -> None:
        raise AssertionError("a network ran before the numbers were checked")

    parts = (mini_pipeline.text_encoder, mini_pipeline.audio_encoder, mini_pipeline.transformer, mini_pipeline.vae)
    hooks = [part.register_forward_pre_hook(fail) for part in parts]
    yield mini_pipeline
    for hook in hooks:
        hook.remove()


def refuse(pipe: HuMoPipeline, words: str, **arguments: object) -> None:
    """See that a call is refused in one short sentence."""
    with pytest.raises(ValueError, match=words) as refusal:
        pipe(**{**REQUEST, "image": tiny.picture(), "audio": tiny.voice(0.36), **arguments})
    assert len(str(refusal.value)) < 200 and "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["num_frames", "height", "width", "num_inference_steps", "seed"])
def test_what_is_no_whole_number_is_refused_before_anything_is_computed(name: str, unread: HuMoPipeline) -> None:
    for value in NO_WHOLE:
        refuse(unread, f"^{name} is .*: give a whole number", **{name: value})
    for value in FAR:
        refuse(unread, f"^{name} (is|must be) .*", **{name: value})
    refuse(unread, f"^{name} must be ", **{name: -1})


def test_numbers_that_only_the_largest_allow_are_refused(unread: HuMoPipeline) -> None:
    refuse(unread, "^num_inference_steps is 1001: give a whole number of at most 1,000", num_inference_steps=1001)
    refuse(unread, "^num_frames is 15005: give a whole number of at most 15,001", num_frames=15_005)
    refuse(unread, "^height is 8208: give a whole number of at most 8,192", height=8_208)
    refuse(unread, "^seed must be between 0 and 2", seed=LARGEST_SEED + 1)


@pytest.mark.parametrize("value", NO_SCALES, ids=range(len(NO_SCALES)))
def test_scales_that_are_none_are_refused_before_anything_is_computed(value: object, unread: HuMoPipeline) -> None:
    words = "^guidance .* is .*: it must be a number from -100 to 100"
    refuse(unread, words, guidance={"rule": "constant", "text": value})
    refuse(unread, words, guidance=constant(audio=value))
    refuse(unread, words, guidance=published_17b(text=linear(value, 2.0)))
    refuse(unread, words, guidance={"rule": "constant", "text": {"ramp": "cosine", "early": 1, "late": value}})
    refuse(unread, words, guidance=paper(early=(1.0, value, 1.0)))
    words = "^guidance .*switch is .*: it must be a number from 0 to 1000"
    refuse(unread, words, guidance=published_17b(switch=value))
    refuse(unread, words, guidance=constant(text=step(2, 1, value)))


@pytest.mark.parametrize(
    ("guidance", "words"),
    [
        (5, "guidance is 5: give a rule of humo.guidance"),
        ("constant", "guidance is 'constant': give a rule"),
        ({"rule": ["constant"]}, "guidance rule .* is unknown"),
        ({"rule": "constant", "text": {"ramp": "linear", "early": 1}}, "a ramp without its ends"),
        ({"rule": "paper", "early": [1, 2]}, "early must be three scales"),
        ({"rule": "paper", "early": 3}, "early must be three scales"),
    ],
)
def test_what_is_no_rule_is_refused_before_anything_is_computed(
    guidance: object, words: str, unread: HuMoPipeline
) -> None:
    refuse(unread, words, guidance=guidance)


def test_rates_that_are_none_are_refused_before_anything_is_computed(unread: HuMoPipeline) -> None:
    samples = tiny.voice(0.36)[0]
    for rate in (float("nan"), float("inf"), -16_000, 0, *FAR, "16000", "CD", True, None, 16_000.5):
        refuse(unread, "^(the sound's rate is|sound has a sample rate of) ", audio=(samples, rate))


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused_before_anything_is_computed(
    spoil: float, unread: HuMoPipeline
) -> None:
    samples, rate = tiny.voice(0.36)
    samples[7] = spoil
    refuse(unread, "invalid numbers|too loud", audio=(samples, rate))


def test_texts_that_are_none_are_refused_before_anything_is_computed(unread: HuMoPipeline) -> None:
    refuse(unread, "^prompt is 5: give text", prompt=5)
    refuse(unread, "^negative_prompt is 5: give text", negative_prompt=5)


def test_numbers_of_numpy_are_taken_and_kept_as_plain_data(mini_pipeline: HuMoPipeline) -> None:
    plain = {"num_frames": 5, "height": 64, "width": 64, "num_inference_steps": 1, "seed": 3}
    given = {name: np.int64(value) for name, value in plain.items()}
    rule = constant(text=np.float64(2.5), image=np.float32(2), audio=np.int16(3))
    video = mini_pipeline("a woman talks", **given, guidance=rule)
    expected = mini_pipeline("a woman talks", **plain, guidance=constant(text=2.5, image=2.0, audio=3))
    assert np.array_equal(video.frames, expected.frames)
    assert json.loads(json.dumps(video.settings)) == expected.settings
    assert make_rule(video.settings["guidance"]) == constant(text=2.5, image=2.0, audio=3.0)


def test_a_scale_of_ones_own_is_ones_own_matter(mini_pipeline: HuMoPipeline) -> None:
    assert mini_pipeline(**REQUEST, guidance=constant(text=lambda timestep: 200.0)).settings["guidance"]
    assert mini_pipeline(**REQUEST, guidance=published_17b(text=cosine(6, 3))).settings["guidance"]["switch"] == 980


def test_shots_check_their_numbers_too(unread: HuMoPipeline, tmp_path) -> None:
    sound = tiny.voice(0.72)
    shots = plan_shots(*sound, longest_shot(unread.config))
    for wrong in ({"seed": "7"}, {"seed": 7.0}, {"num_inference_steps": 2.5}, {"height": "64"}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is .*: give a whole number"):
            make_shots(unread, shots, "a woman talks", tmp_path / "shots", sound, **wrong)


# --- the command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--steps 0", "num_inference_steps must be 1 or more but is 0"),
        ("--steps 1001", "num_inference_steps is 1001: give a whole number of at most 1,000"),
        ("--frames -3", "num_frames must be 1 or more but is -3"),
        ("--height 99999", "height is 99999: give a whole number of at most 8,192"),
        ("--width -16", "width must be 1 or more but is -16"),
        ("--seed -1", "seed must be between 0 and"),
        (f"--seed {2**63}", "seed must be between 0 and"),
        ("--text-scale nan", "guidance text is nan: it must be a number from -100 to 100"),
        ("--audio-scale 1e300", "guidance audio is 1e+300: it must be"),
        ("--image-scale -inf", "guidance image is -inf: it must be"),
        ("--switch 1001", "guidance switch is 1001.0: it must be a number from 0 to 1000"),
    ],
)
def test_the_command_refuses_numbers_before_it_loads_a_model(
    arguments: str, words: str, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ["--preset", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out.mp4")]
    assert main(["generate", "--prompt", "a woman talks", *nowhere, *arguments.split()]) == 2
    assert words in capsys.readouterr().err


def test_the_command_refuses_to_enlarge_beyond_what_is_played(
    mini_pipeline: HuMoPipeline, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    mini_pipeline.save_pretrained(tmp_path / "tiny")
    out = tmp_path / "out.mp4"
    arguments = f"generate --preset {tmp_path / 'tiny'} --out {out} --enlarge 129 --prompt nods".split()
    assert main(arguments) == 2
    assert "--enlarge is 129" in (told := capsys.readouterr().err) and "use at most 128" in told
    assert not out.exists()


# --- seeds


def test_seeds_differ_over_their_whole_range() -> None:
    seeds = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**33 + 1, 2**62, 2**63 - 2**32, 2**63 - 2, LARGEST_SEED]
    drawn = [draw_noise((1, 4, 3, 8, 8), seed) for seed in seeds]
    for left, right in combinations(drawn, 2):
        correlation = torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]
        assert abs(correlation) < 0.15  # 768 numbers: about four standard deviations
    for noise in drawn:
        assert noise.dtype == torch.float32 and abs(noise.mean()) < 0.15 and abs(noise.std() - 1) < 0.11
    assert all(torch.equal(draw_noise((1, 4, 3, 8, 8), seed), noise) for seed, noise in zip(seeds, drawn, strict=True))


@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**32 - 1])
def test_seeds_of_32_bits_draw_what_they_always_drew(seed: int) -> None:
    expected = torch.randn((2, 3, 5), generator=torch.Generator("cpu").manual_seed(seed))
    assert torch.equal(draw_noise((2, 3, 5), seed), expected)


def test_longer_seeds_draw_the_same_for_ever() -> None:
    expected = [-0.6358715, -1.2343866]
    assert draw_noise((2,), 2**32 + 7).tolist() == pytest.approx(expected, abs=1e-7)


def test_a_video_of_a_longer_seed_is_another_one(mini_pipeline: HuMoPipeline) -> None:
    short, long = (mini_pipeline(**REQUEST, seed=seed) for seed in (5, 5 + 2**32))
    assert long.seed == 5 + 2**32 and not np.array_equal(short.frames, long.frames)
    assert np.array_equal(mini_pipeline(**REQUEST, seed=5 + 2**32).frames, long.frames)
