"""Do lips and sound belong together? Run: pytest tests/finetuning/test_dataset_sync.py"""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from humo.finetuning.dataset.clips.crops import GREY, crop_faces
from humo.finetuning.dataset.clips.encode import ClipEncoder
from humo.finetuning.dataset.clips.examine import Examined
from humo.finetuning.dataset.clips.mfcc import mfcc
from humo.finetuning.dataset.clips.sync import mouth_loudness_correlation
from humo.finetuning.dataset.clips.syncnet import SyncNet, compare, load_syncnet
from humo.finetuning.dataset.command import settings_for
from humo.finetuning.dataset.dropping import Drop
from humo.world.clips import plan_clip, render_clip

# fmt: off
CEPSTRUM = [19.3938, 24.633, -20.1781, 8.9434, 38.1243, 3.2204, -37.634, -16.6769, 11.9592, -14.5629, -44.6018,
            -23.6972, 3.2296]
"""Row 7 of python_speech_features 0.6 on the sound of `test_the_cepstrum_is_that_of_the_package`."""
# fmt: on


@pytest.fixture(scope="module")
def syncnet():
    torch.manual_seed(0)
    return SyncNet()


@pytest.mark.slow
def test_sync_prefers_a_clips_own_sound():
    clips = [clip for seed in range(12) if (clip := render_clip(plan_clip(seed), 49, 64)).plan.sentence]
    scores = np.array([[mouth_loudness_correlation(a.frames, a.face, b.waveform) for b in clips] for a in clips])
    own, other = np.diag(scores), scores[~np.eye(len(clips), dtype=bool)]
    assert (own[:, None] > other).mean() > 0.8  # 0.9 on many clips; chance is 0.5
    assert mouth_loudness_correlation(clips[0].frames, np.zeros_like(clips[0].face), clips[0].waveform) == 0
    assert mouth_loudness_correlation(clips[0].frames, clips[0].face, np.zeros_like(clips[0].waveform)) == 0


def test_the_cepstrum_is_that_of_the_package():
    time = np.arange(8000) / 16_000
    sweep = 9000 * np.sin(2 * np.pi * (180 * time + 200 * time**2))
    found = mfcc(np.round(sweep + 3000 * np.sin(2 * np.pi * 1700 * time) * np.cos(9 * time)))
    assert found.shape == (49, 13)
    np.testing.assert_allclose(found[7], CEPSTRUM, atol=1e-4)
    assert [len(mfcc(np.ones(n))) for n in (399, 400, 401, 560, 561)] == [1, 1, 2, 2, 3]


def test_crops_follow_the_face():
    frames = np.zeros((15, 64, 96, 3), np.uint8)
    face = np.zeros((15, 64, 96), bool)
    for index in range(15):
        face[index, 10:30, 4 * index : 20 + 4 * index] = True
    frames[face] = 255
    face[7] = False  # bridged by its neighbours
    crops = crop_faces(frames, face)
    assert crops.shape == (15, 224, 224, 3)
    # The face is 20 pixels wide in a crop of 28; above it is nothing, left and right 4 pixels, below 8.
    for index in range(6, 9):
        rows, columns = np.nonzero(crops[index, ..., 0] > 127)
        bounds = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        np.testing.assert_allclose(bounds, (0, 160, 32, 192), atol=3)
    assert crops[0, 100, 0, 0] == GREY  # the first crop reaches out of the frame


def test_the_offset_is_where_faces_and_sounds_are_nearest():
    torch.manual_seed(1)
    seen = torch.randn(60, 1024)
    for moved in (0, 3, -5):
        score = compare(seen, seen.roll(moved, dims=0))
        assert score.offset == -moved
        assert score.distance < 10 < score.confidence + score.distance
    assert compare(seen, torch.randn(60, 1024)).confidence < 2


def test_syncnet_has_the_published_layers(syncnet, tmp_path):
    state = syncnet.state_dict()
    shapes = {
        "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4), "netfcaud.3.bias": (1024,),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6), "netfclip.1.running_mean": (512,),
    }  # fmt: skip
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    torch.save(state, tmp_path / "syncnet_v2.model")
    assert torch.equal(load_syncnet(tmp_path / "syncnet_v2.model").netfclip[3].weight, syncnet.netfclip[3].weight)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.model")
    with pytest.raises(ValueError, match="other.model does not hold SyncNet's weights"):
        load_syncnet(tmp_path / "other.model")
    with pytest.raises(ValueError, match="none.model, which does not exist"):
        load_syncnet("none.model")


@pytest.mark.slow
def test_a_preparation_filters_by_syncnet(syncnet, tmp_path):
    torch.save(syncnet.state_dict(), tmp_path / "syncnet_v2.model")
    pipe = tiny.pipeline("mini")
    rng = np.random.default_rng(0)
    settings = settings_for(pipe, sync_weights=str(tmp_path / "syncnet_v2.model"))
    clip = Examined(
        0, "clip", "a man talks", rng.integers(0, 255, (9, 64, 64, 3)).astype(np.uint8),
        [np.zeros((32, 32, 3), np.uint8)], rng.normal(0, 0.1, 9 * 640).astype(np.float32), np.ones((3, 4, 4), bool),
        rng.integers(0, 255, (9, 224, 224, 3)).astype(np.uint8),
    )  # fmt: skip
    assert ClipEncoder(pipe, settings)(clip).keys() == {"latents", "references", "text", "audio", "face"}
    assert clip.scores["sync_d"] > 0 and clip.scores["sync_c"] >= 0
    with pytest.raises(Drop) as dropped:
        ClipEncoder(pipe, replace(settings, min_sync=1e6))(clip)
    assert dropped.value.reason == "out of sync"
