"""Lip sync: what is heard, shifts on given features, SyncNet of full size, the crop of the face."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny
import torch
from benches import CASE, find_square

from humo.bench import sync
from humo.bench.metric import Video
from humo.bench.mfcc import mfcc
from humo.bench.syncnet import SyncNet, score_sync, shifted_distances
from humo.bench.weights import Weights


def test_mfcc_hears_loudness_and_pitch():
    time = np.arange(16_000) / 16_000
    low, high = (mfcc((0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)) for hertz in (200, 3000))
    assert low.shape == (99, 13) and np.isfinite(low).all()
    assert np.isfinite(mfcc(np.zeros(640, np.float32))).all()
    loud = mfcc((0.6 * np.sin(2 * np.pi * 200 * time)).astype(np.float32))
    assert np.allclose(loud[5:-5, 0] - low[5:-5, 0], 2 * math.log(2), atol=0.01), "the first is the log energy"
    assert np.allclose(loud[5:-5, 1:], low[5:-5, 1:], atol=0.5), "the others do not hear loudness"
    assert np.abs(high[5:-5, 1] - low[5:-5, 1]).min() > 5


@pytest.mark.parametrize("late", [-15, -4, 0, 3, 15])
def test_the_offset_of_a_shifted_pair_is_found(late):
    """The sound of moment t is heard `late` windows after the mouth that spoke it."""
    torch.manual_seed(late)
    speech = torch.randn(120, 32)
    mouth, sound = speech[20:100], speech[20 - late : 100 - late]
    distances = shifted_distances(mouth, sound)
    confidence, distance, offset = score_sync(distances)
    assert distances.shape == (31,) and offset == -late
    within = distances[15 + late] / distances.median()
    assert confidence > 3 and within < 0.35, "only the windows beyond the end differ"
    aligned = score_sync(shifted_distances(mouth, mouth))
    assert aligned[1] == pytest.approx(0, abs=1e-3) and aligned[0] > 3


def test_strangers_have_no_confidence():
    torch.manual_seed(0)
    confidence, distance, _ = score_sync(shifted_distances(torch.randn(80, 32), torch.randn(80, 32)))
    assert confidence < 1 and distance > 5
    with pytest.raises(ValueError, match=r"mouth is \(3, 2\) and sound \(4, 2\): give two equal"):
        shifted_distances(torch.zeros(3, 2), torch.zeros(4, 2))


@pytest.fixture(scope="module")
def syncnet(tmp_path_factory):
    """SyncNet of full size with random weights, through a file of the published form."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("syncnet")
    torch.save(SyncNet().state_dict(), folder / sync.SYNCNET.path)
    assert (folder / sync.SYNCNET.path).stat().st_size == pytest.approx(sync.SYNCNET.num_bytes, rel=0.001)
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items() if value.ndim > 1}
    published = {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3), 18: (512, 256, 5, 4)}
    assert {index: shapes[f"netcnnaud.{index}.weight"] for index in published} == published
    published = {0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6)}
    assert {index: shapes[f"netcnnlip.{index}.weight"] for index in published} == published
    assert shapes["netfcaud.3.weight"] == shapes["netfclip.3.weight"] == (1024, 512)
    weights = Weights(folder, is_verified=False)
    return weights.fill(SyncNet(), sync.SYNCNET, weights.state_dict(sync.SYNCNET))


def test_syncnet_embeds_every_window_of_its_own_moment(syncnet):
    reader = sync.SyncReader(find_square, syncnet, torch.device("cpu"))
    torch.manual_seed(1)
    crops = torch.randint(0, 256, (8, 3, 224, 224), dtype=torch.uint8)
    voice = tiny.voice(8 / 25)[0]
    mouth, sound = reader.embed(crops, voice)
    assert mouth.shape == sound.shape == (3, 1024)
    again = reader.embed(crops[1:], voice[640:])
    assert torch.allclose(again[0], mouth[1:], atol=1e-5), "a window of frames knows nothing before it"
    # pre-emphasis begins anew, which the first MFCC frame of the cut sound hears and no later one
    assert torch.allclose(again[1][1:], sound[2:], atol=1e-4)
    assert not torch.allclose(mouth[0], mouth[1]) and not torch.allclose(sound[0], sound[1])


def moving_square(num_frames=40):
    frames = np.zeros((num_frames, 96, 128, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[30:50, 40 + index // 4 : 60 + index // 4] = 255
    return frames


def test_the_face_is_followed_and_cut_with_room_around_it():
    frames = moving_square()
    boxes = sync.track_face(frames, lambda frame: find_square(frame) if frame is not frames[7] else [])
    assert sorted(boxes) == list(range(40)) and boxes[39].tolist() == [49, 30, 20, 20]
    blind = iter(range(40))
    gap = sync.track_face(frames, lambda frame: [] if next(blind) in (0, 7, 8) else find_square(frame))
    assert sorted(gap) == list(range(1, 40)) and gap[7][0] == pytest.approx(41, abs=0.5)
    crops = sync.cut_faces(frames, np.stack([boxes[index] for index in range(40)]))
    assert crops.shape == (40, 3, 224, 224) and crops.dtype == torch.uint8
    rows, columns = np.nonzero(crops[20, 0].numpy() > 128)
    # half a side is 10: 10 above the middle and 18 below it, 14 to each side, enlarged eightfold
    assert (rows.min(), rows.max()) == pytest.approx((0, 159), abs=3)
    assert (columns.min(), columns.max()) == pytest.approx((32, 191), abs=10)
    assert sync.track_face(np.zeros_like(frames), find_square) == {}


def test_sync_is_read_once_for_two_metrics_and_not_without_face_or_sound(syncnet):
    looked = []
    find = lambda frame: looked.append(1) or find_square(frame)  # noqa: E731
    reader = sync.SyncReader(find, syncnet, torch.device("cpu"), min_frames=14)
    video = Video(moving_square(14), np.resize(tiny.voice(1.0)[0], 14 * 640))
    confidence = sync.SyncConfidence(reader).measure(video, CASE)
    distance = sync.SyncDistance(reader).measure(video, CASE)
    assert len(looked) == 14 and confidence >= 0 and distance > 0
    assert math.isnan(sync.SyncConfidence(reader).measure(Video(video.frames, None), CASE))
    assert math.isnan(sync.SyncDistance(reader).measure(Video(video.frames[:13], video.waveform), CASE))
    assert math.isnan(sync.SyncDistance(reader).measure(Video(np.zeros_like(video.frames), video.waveform), CASE))
