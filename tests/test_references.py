"""References: letterbox geometry, latents, and the transformer's two input forms."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from humo.references import (
    assemble_input,
    decode_latents,
    encode_black_video,
    encode_references,
    encode_video,
    letterbox,
    picture_to_pixels,
)


@pytest.mark.parametrize(
    ("size", "frame", "box"),
    [
        ((100, 50), (64, 64), (0, 16, 64, 48)),  # wide into square: bars above and below
        ((50, 100), (64, 64), (16, 0, 48, 64)),  # tall into square: bars left and right
        ((30, 30), (48, 96), (24, 0, 72, 48)),  # enlarged into a wide frame
        ((33, 64), (64, 64), (15, 0, 48, 64)),  # an odd bar: the extra column is on the right
        ((64, 48), (48, 64), (0, 0, 64, 48)),
    ],
)
def test_letterbox_keeps_the_aspect_on_white(size, frame, box) -> None:
    framed = np.array(letterbox(Image.new("RGB", size, (10, 20, 30)), *frame))
    assert framed.shape == (*frame, 3)
    left, top, right, bottom = box
    inside = np.zeros(frame, bool)
    inside[top:bottom, left:right] = True
    assert (framed[inside] == (10, 20, 30)).all()
    assert (framed[~inside] == 255).all()


def test_extreme_pictures_keep_one_pixel() -> None:
    assert letterbox(Image.new("RGB", (2000, 2), "black"), 32, 32).size == (32, 32)


def test_pixels_are_in_minus_one_to_one() -> None:
    pixels = picture_to_pixels(Image.fromarray(np.array([[[0, 255, 51]]], np.uint8)))
    assert pixels.shape == (1, 3, 1, 1, 1)
    assert pixels.flatten().tolist() == pytest.approx([-1, 1, -0.6])


@torch.no_grad()
def test_latents_are_normalised_and_back() -> None:
    torch.manual_seed(0)  # with some random weights the decoder enlarges a rounding tenfold
    vae = tiny.wan_vae()
    video = torch.rand(1, 3, 5, 16, 24) * 2 - 1
    raw = vae.encode(video).latent_dist.mode()
    latents = encode_video(video, vae)
    assert latents.shape == (1, 4, 2, 2, 3)
    torch.testing.assert_close(latents, (raw - 0.1) / 2)
    torch.testing.assert_close(decode_latents(latents, vae), vae.decode(raw).sample.clamp(-1, 1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("vae", [tiny.wan_vae(), tiny.codec()], ids=["wan", "codec"])
def test_wanted_frames_are_those_of_the_whole_video(vae) -> None:
    latents = torch.randn(1, len(vae.config.latents_mean), 3, 2, 2)
    whole = decode_latents(latents, vae)
    torch.testing.assert_close(decode_latents(latents, vae, frames=[0, 7]), whole[:, :, [0, 7]])


@torch.no_grad()
@pytest.mark.parametrize("vae", [tiny.wan_vae(), tiny.codec()], ids=["wan", "codec"])
def test_each_reference_is_encoded_alone(vae) -> None:
    pictures = [tiny.picture(), tiny.picture(20, 60)]
    both = encode_references(pictures, vae, 32, 48)
    assert both.shape[2] == 2
    torch.testing.assert_close(both[:, :, 1:], encode_references(pictures[1:], vae, 32, 48))


@torch.no_grad()
def test_black_video_has_any_size_and_length() -> None:
    vae = tiny.wan_vae()
    latents = encode_black_video(vae, 3, 16, 40)
    assert latents.shape == (1, 4, 3, 2, 5)
    torch.testing.assert_close(latents, encode_video(torch.full((1, 3, 9, 16, 40), -1.0), vae))


def test_small_form_overwrites_the_last_frames() -> None:
    latents, references = torch.randn(2, 4, 5, 2, 2), torch.randn(2, 4, 2, 2, 2)
    shown = assemble_input(latents, 4, 2, references, None)
    torch.testing.assert_close(shown[:, :, :3], latents[:, :, :3])
    torch.testing.assert_close(shown[:, :, 3:], references)
    assert assemble_input(latents, 4, 2, None, None)[:, :, 3:].abs().max() == 0
    torch.testing.assert_close(assemble_input(latents, 4, 0, None, None), latents)


def test_large_form_adds_mask_and_condition() -> None:
    latents, references, black = torch.randn(2, 4, 5, 2, 2), torch.randn(2, 4, 2, 2, 2), torch.randn(1, 4, 5, 2, 2)
    shown = assemble_input(latents, 12, 2, references, black)
    assert shown.shape == (2, 12, 5, 2, 2)
    torch.testing.assert_close(shown[:, :4], latents)
    assert (shown[:, 4:8, :3] == 0).all()
    assert (shown[:, 4:8, 3:] == 1).all()
    torch.testing.assert_close(shown[:, 8:, :3], black[:, :, :3].expand(2, -1, -1, -1, -1))
    torch.testing.assert_close(shown[:, 8:, 3:], references)
    null = assemble_input(latents, 12, 2, None, black)
    torch.testing.assert_close(null[:, :8], shown[:, :8])
    torch.testing.assert_close(null[:, 8:], black.expand(2, -1, -1, -1, -1))


def test_what_does_not_fit_is_refused() -> None:
    latents = torch.zeros(1, 4, 5, 2, 2)
    with pytest.raises(ValueError, match="references has 1 frames but num_references is 2"):
        assemble_input(latents, 4, 2, latents[:, :, :1], None)
    with pytest.raises(ValueError, match="black_video is missing"):
        assemble_input(latents, 12, 1, None, None)
