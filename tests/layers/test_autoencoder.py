"""The codec: shapes, exactness of its linear part, storage. Run: pytest tests/layers/test_autoencoder.py"""

import copy

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module

from humo.layers.autoencoder import HuMoVideoCodec
from humo.training.autoencoder.training import (
    AutoencoderSettings,
    deepen,
    fit_components,
    measure_autoencoder,
    train_decoder,
)

TINY = {"z_dim": 12, "widths": (16, 16, 8, 8, 8), "depths": (1, 1, 0, 0, 0)}
SETTINGS = AutoencoderSettings(size=32, num_frames=9, batch_size=2, steps=40, component_clips=8, learning_rate=5e-3)


@pytest.fixture(scope="module")
def fitted() -> HuMoVideoCodec:
    torch.manual_seed(0)
    codec = HuMoVideoCodec(**TINY)
    fit_components(codec, SETTINGS)
    return codec


@pytest.mark.slow
def test_encode_and_decode_have_wans_shapes():
    codec = HuMoVideoCodec(**TINY)
    latents = codec.encode(torch.rand(2, 3, 9, 32, 48)).latent_dist.mode()
    assert latents.shape == (2, 12, 3, 2, 3)
    assert codec.decode(latents).sample.shape == (2, 3, 9, 32, 48)


class Arrivals(ModelHook):
    """A hook of accelerate, as those of `enable_model_cpu_offload`, which bring a model to where it computes."""

    count = 0

    def pre_forward(self, module: torch.nn.Module, *args: object, **kwargs: object) -> tuple[object, object]:
        self.count += 1
        return args, kwargs


@torch.no_grad()
def test_the_codec_is_brought_to_where_it_computes():
    codec, hook = HuMoVideoCodec(**TINY), Arrivals()
    add_hook_to_module(codec, hook)
    latents = codec.encode(torch.rand(1, 3, 5, 32, 32)).latent_dist.mode()
    assert hook.count == 1
    video = codec.decode(latents).sample
    assert (before := hook.count) > 1
    stream = codec.decode_stream(latents)
    assert hook.count == before + 1, "already before the first frames are asked for"
    assert torch.equal(torch.cat(list(stream), dim=2), video)


@pytest.mark.slow
def test_wanted_frames_are_those_of_the_whole_video(fitted):
    latents = fitted.encode(torch.rand(2, 3, 9, 32, 48)).latent_dist.mode()
    whole, some = fitted.decode(latents).sample, fitted.decode(latents, frames=[0, 7, 8]).sample
    assert some.shape == (2, 3, 3, 32, 48)
    torch.testing.assert_close(some, whole[:, :, [0, 7, 8]])


@torch.no_grad()
def test_pieces_of_a_stream_are_the_video(fitted):
    latents = fitted.encode(torch.rand(1, 3, 9, 32, 48)).latent_dist.mode()
    pieces = list(fitted.decode_stream(latents, chunk=4))
    assert [piece.shape[2] for piece in pieces] == [4, 4, 1]
    torch.testing.assert_close(torch.cat(pieces, dim=2), fitted.decode(latents).sample)


@torch.no_grad()
def test_a_decoder_may_be_narrower_than_the_codec(fitted):
    latents = fitted.encode(torch.rand(1, 3, 9, 32, 48)).latent_dist.mode()
    whole = fitted.decode(latents).sample
    narrow = copy.deepcopy(fitted)
    narrow.decoder.to(torch.bfloat16).use_channels_last()
    assert narrow.dtype == torch.float32
    drawn = narrow.decode(latents).sample.float()
    assert 0 < (drawn - whole).abs().max() < 0.05


def test_a_picture_and_the_first_frame_of_a_video_have_the_same_latents(fitted):
    video = torch.rand(1, 3, 5, 32, 32)
    of_video = fitted.encode(video).latent_dist.mode()[:, :, :1]
    of_picture = fitted.encode(video[:, :, :1]).latent_dist.mode()
    torch.testing.assert_close(of_video, of_picture)


def test_components_are_orthonormal_and_latents_have_unit_scale(fitted):
    rows = fitted.components.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(12), atol=1e-4, rtol=0)
    assert all(a >= b for a, b in zip(fitted.config.latents_std, fitted.config.latents_std[1:], strict=False))


@pytest.mark.parametrize("shape", [(1, 3, 8, 32, 32), (1, 3, 9, 24, 32)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="4k\\+1 frames and sides that are multiples of 16"):
        HuMoVideoCodec(**TINY).encode(torch.zeros(shape))


def test_saving_and_loading_keeps_every_bit(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    loaded = HuMoVideoCodec.from_pretrained(tmp_path)
    video = torch.rand(1, 3, 5, 32, 32)
    latents = fitted.encode(video).latent_dist.mode()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in fitted.state_dict().items())
    torch.testing.assert_close(loaded.encode(video).latent_dist.mode(), latents)
    torch.testing.assert_close(loaded.decode(latents).sample, fitted.decode(latents).sample)


@pytest.mark.slow
def test_training_lowers_the_loss_and_resumes_exactly(fitted):
    whole = HuMoVideoCodec.from_config(fitted.config)
    whole.load_state_dict(fitted.state_dict())
    halved = HuMoVideoCodec.from_config(fitted.config)
    halved.load_state_dict(fitted.state_dict())
    losses = [losses["loss"] for _, losses, _ in train_decoder(whole, SETTINGS)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    for step, _, optimizer in train_decoder(halved, SETTINGS):
        if step == 6:
            state = optimizer.state_dict()
            break
    resumed = [losses["loss"] for _, losses, _ in train_decoder(halved, SETTINGS, 6, state)]
    assert resumed == losses[6:]


def test_measurement_reports_every_region(fitted):
    figures = measure_autoencoder(fitted, num_clips=2, size=32, num_frames=5)
    assert set(figures) == {"all", "face", "eyes", "mouth", "first"}
    assert all(figure > 0 for figure in figures.values())


def test_a_deeper_decoder_draws_the_same_until_it_learns(fitted):
    deeper = deepen(fitted, (1, 1, 0, 2, 1))
    latents = fitted.encode(torch.rand(1, 3, 5, 32, 32)).latent_dist.mode()
    torch.testing.assert_close(deeper.decode(latents).sample, fitted.decode(latents).sample)
    assert sum(1 for _ in deeper.parameters()) > sum(1 for _ in fitted.parameters())
    with pytest.raises(ValueError, match="give as many"):
        deepen(fitted, (0, 1, 0, 0, 0))
