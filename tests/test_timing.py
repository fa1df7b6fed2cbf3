"""humo.timing: frames, latent frames and samples.

Run: python -m pytest tests/test_timing.py
"""

from __future__ import annotations

import pytest

from humo.timing import count_latents, covering_frames, frames_for_sound, round_down, round_up


def test_rounding_goes_to_4k_plus_1() -> None:
    assert [round_down(number) for number in range(10)] == [1, 1, 1, 1, 1, 5, 5, 5, 5, 9]
    assert [round_up(number) for number in range(10)] == [1, 1, 5, 5, 5, 5, 9, 9, 9, 9]
    assert [count_latents(number) for number in (1, 5, 97)] == [1, 2, 25]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_a_sound_is_covered_to_its_end(rate: int) -> None:
    for milliseconds in range(200, 2_500, 7):
        samples = rate * milliseconds // 1_000
        frames = covering_frames(samples, rate)
        assert (frames - 1) / 25 < samples / rate <= frames / 25
        length = frames_for_sound(samples, rate)
        assert length % 4 == 1 and length / 25 >= samples / rate - 0.0005 and round_up(frames) - length in (0, 4)


def test_what_resampling_rounds_makes_no_further_frame() -> None:
    assert frames_for_sound(31_360, 16_000) == frames_for_sound(31_361, 16_000) == 49
    assert frames_for_sound(31_360 + 16, 16_000) == 53
    assert covering_frames(1, 16_000) == 1


def test_the_longest_is_kept_to() -> None:
    assert frames_for_sound(160_000, 16_000) == 253
    assert frames_for_sound(160_000, 16_000, 97) == 97 == frames_for_sound(160_000, 16_000, 99)
