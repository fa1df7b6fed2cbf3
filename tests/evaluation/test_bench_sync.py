"""Lip sync of a video: SyncNet from a file of the published form, the face that is followed. See test_dataset_sync."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny
import torch
from benches import CASE, find_square

from humo.evaluation.published.instruments import sync
from humo.evaluation.published.instruments.metric import Video
from humo.evaluation.published.instruments.weights import Weights
from humo.finetuning.dataset.clips.syncnet import SyncNet


@pytest.fixture(scope="module")
def syncnet(tmp_path_factory):
    """SyncNet of full size with random weights, through a file of the published form."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("syncnet")
    torch.save(SyncNet().state_dict(), folder / sync.SYNCNET.path)
    assert (folder / sync.SYNCNET.path).stat().st_size == pytest.approx(sync.SYNCNET.num_bytes, rel=0.001)
    weights = Weights(folder, is_verified=False)
    return weights.fill(SyncNet(), sync.SYNCNET, weights.state_dict(sync.SYNCNET))


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
    assert sync.track_face(np.zeros_like(frames), find_square) == {}


@pytest.mark.slow
def test_sync_is_read_once_for_two_metrics_and_not_without_face_or_sound(syncnet):
    looked = []
    find = lambda frame: looked.append(1) or find_square(frame)  # noqa: E731
    reader = sync.SyncReader(find, syncnet, min_frames=14)
    video = Video(moving_square(14), np.resize(tiny.voice(1.0)[0], 14 * 640))
    confidence = sync.SyncConfidence(reader).measure(video, CASE)
    distance = sync.SyncDistance(reader).measure(video, CASE)
    assert len(looked) == 14 and confidence >= 0 and distance > 0
    assert math.isnan(sync.SyncConfidence(reader).measure(Video(video.frames, None), CASE))
    assert math.isnan(sync.SyncDistance(reader).measure(Video(video.frames[:13], video.waveform), CASE))
    assert math.isnan(sync.SyncDistance(reader).measure(Video(np.zeros_like(video.frames), video.waveform), CASE))
