"""Windows: they cover the video, overlap, and blend back to what they agree on."""

from __future__ import annotations

import pytest
import torch

from humo.layers.windows import blend_windows, plan_windows, triangle


@pytest.mark.parametrize("num_latents", range(1, 60))
def test_windows_cover_and_overlap(num_latents: int) -> None:
    windows = plan_windows(num_latents, 7)
    assert windows[0].start == 0
    assert windows[-1].stop == num_latents
    assert all(place.stop - place.start == (7 if num_latents > 8 else num_latents) for place in windows)
    assert all(
        before.stop - after.start >= 3 for before, after in zip(windows, windows[1:], strict=False)
    )  # half of 7, rounded down
    assert len(set(map(str, windows))) == len(windows)


def test_a_window_of_one_frame_cannot_overlap() -> None:
    assert plan_windows(1, 1) == [slice(0, 1)]
    with pytest.raises(ValueError, match="at least 2"):
        plan_windows(3, 1)


def test_triangle() -> None:
    assert triangle(5).tolist() == [1, 2, 3, 2, 1]
    assert triangle(4).tolist() == [1, 2, 2, 1]
    assert triangle(1).tolist() == [1]


def test_blending_gives_back_what_all_windows_agree_on() -> None:
    video = torch.randn(2, 3, 23, 2, 2)
    windows = plan_windows(23, 7)
    torch.testing.assert_close(blend_windows([video[:, :, place] for place in windows], windows), video)


def test_blending_by_hand() -> None:
    """Two windows of 3 over 4 frames: frame 1 weighs 2 against 1, frame 2 weighs 1 against 2."""
    parts = [torch.zeros(1, 1, 3, 1, 1), torch.ones(1, 1, 3, 1, 1)]
    blended = blend_windows(parts, [slice(0, 3), slice(1, 4)])
    torch.testing.assert_close(blended.flatten(), torch.tensor([0, 1 / 3, 2 / 3, 1]))
