"""AES, IQA, CLIP-I and DINO-I with random weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import CASE, FRAMES, Harmful, picture_weights
from PIL import Image

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments import aesthetics, similarity
from humo.evaluation.published.instruments.metric import Video
from humo.evaluation.published.instruments.musiq import Musiq, rename
from humo.evaluation.published.instruments.quality import SPAQ, ImageQuality
from humo.evaluation.published.instruments.weights import Weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of CLIP, DINO and the aesthetic head."""
    return picture_weights(tmp_path_factory.mktemp("weights"))


def test_aesthetics_is_the_linear_layer_of_the_frames_directions(weights):
    metric = aesthetics.Aesthetics.load(weights)
    value = metric.measure(Video(FRAMES, None), CASE)
    assert value == metric.measure(Video(FRAMES, None), CASE)
    single = [metric.measure(Video(frame[None], None), CASE) for frame in FRAMES]
    assert value == pytest.approx(np.mean(single), abs=1e-6) and np.std(single) > 0
    limit = (metric.head.weight.norm() + metric.head.bias.abs()).item() / 10
    assert abs(value) <= limit
    metric.head.weight.mul_(2), metric.head.bias.mul_(2)
    assert metric.measure(Video(FRAMES, None), CASE) == pytest.approx(2 * value, rel=1e-5)


@pytest.mark.slow
def test_musiq_of_full_size_loads_and_scores(tmp_path):
    torch.manual_seed(0)
    published = {name: value for name, value in Musiq().state_dict().items()}
    back = {rename(name): name for name in MUSIQ_NAMES}
    assert set(back) == set(published)
    torch.save({back[name]: value for name, value in published.items()}, tmp_path / SPAQ.path)
    assert (tmp_path / SPAQ.path).stat().st_size == pytest.approx(SPAQ.num_bytes, rel=0.01)
    with pytest.raises(ValueError, match="has SHA-256"):
        ImageQuality.load(Weights(tmp_path))
    metric = ImageQuality.load(Weights(tmp_path, is_verified=False))
    value = metric.measure(Video(FRAMES[:1], None), CASE)
    assert math.isfinite(value) and value == metric.measure(Video(FRAMES[:1], None), CASE)


def _musiq_names():
    yield from ("conv_root.weight", "gn_root.weight", "gn_root.bias", "embedding.weight", "embedding.bias")
    for part in ("1", "2", "3", "_proj"):
        yield from (f"block1.conv{part}.weight", f"block1.gn{part}.weight", f"block1.gn{part}.bias")
    encoder = "transformer_encoder."
    yield from (f"{encoder}{name}" for name in ("cls", "encoder_norm.weight", "encoder_norm.bias"))
    yield from (f"{encoder}posembed_input.position_emb", f"{encoder}scaleembed_input.scale_emb")
    layers = ("norm1", "norm2", "mlp.fc1", "mlp.fc2", *(f"attention.{n}" for n in ("query", "key", "value", "out")))
    for block in range(14):
        for layer in layers:
            yield from (f"{encoder}transformer.encoderblock_{block}.{layer}.{kind}" for kind in ("weight", "bias"))
    yield from ("head.weight", "head.bias")


MUSIQ_NAMES = list(_musiq_names())
"""Names in the published file."""


def test_musiq_sees_places_scales_and_any_size():
    torch.manual_seed(0)
    network = Musiq(dim=24, mlp_dim=32, num_heads=2, num_layers=1, stem_channels=32).eval()
    picture = torch.rand(1, 3, 70, 100)
    with torch.no_grad():
        score = network(picture)
        assert score.shape == (1,) and score != network(picture.flip(-1))
        assert torch.allclose(network(torch.cat([picture, picture.flip(-1)]))[0], score[0], atol=1e-5)
        network.positions.zero_(), network.scales.zero_()
        even = torch.full((1, 3, 64, 64), 0.5)
        assert torch.allclose(network(even), network(even.flip(-1)))
        for size in ((16, 16), (33, 500)):
            assert torch.isfinite(network(torch.rand(1, 3, *size))).all()


@pytest.mark.parametrize("metric", [similarity.ClipSimilarity, similarity.DinoSimilarity])
def test_a_video_of_its_reference_has_likeness_1(weights, tmp_path, metric):
    instrument = metric.load(weights)
    Image.fromarray(FRAMES[0]).save(tmp_path / "a.png")
    case = BenchCase(id="a", prompt="p", mode="TI", references=(tmp_path / "a.png",))
    same = Video(FRAMES[:1].repeat(5, axis=0), None)
    assert instrument.measure(same, case) == pytest.approx(1, abs=1e-5)
    other = instrument.measure(Video(np.full_like(FRAMES, 255), None), case)
    assert -1 <= other < 0.999
    both = Video(np.concatenate([same.frames[:4], np.full_like(same.frames[:4], 255)]), None)
    assert instrument.measure(both, case) == pytest.approx((1 + other) / 2, abs=1e-5)


def test_incomplete_transformers_weights_are_refused(weights, tmp_path):
    folder = tmp_path / similarity.DINO
    folder.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (folder / name).write_bytes((weights.folder / similarity.DINO / name).read_bytes())
    told = torch.load(folder / "pytorch_model.bin", weights_only=True)
    told.pop("layernorm.weight")
    torch.save(told, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="dino-vits16 lacks 1 tensors such as layernorm.weight: fetch"):
        similarity.DinoSimilarity.load(Weights(tmp_path, is_verified=False))


def test_pickled_transformers_weights_cannot_run_code(weights, tmp_path):
    folder = tmp_path / similarity.DINO
    folder.mkdir()
    (folder / "config.json").write_bytes((weights.folder / similarity.DINO / "config.json").read_bytes())
    torch.save({"layernorm.weight": Harmful(tmp_path / "made")}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="dino-vits16 cannot be loaded"):
        similarity.DinoSimilarity.load(Weights(tmp_path, is_verified=False))
    assert not (tmp_path / "made").exists()
