"""Faces and identity: alignment, published networks, likeness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import find_square
from PIL import Image
from torch import nn

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments import face_network, faces, identity
from humo.evaluation.published.instruments.face_network import DEPTHS, FaceNetwork, read_published
from humo.evaluation.published.instruments.metric import Video


def test_five_points_are_brought_to_the_template():
    turn = 0.4
    matrix = 1.7 * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = (faces.TEMPLATE @ matrix.T + [30, 20]).astype(np.float32)
    found = faces.similarity(points, faces.TEMPLATE)
    assert np.allclose(points @ found[:, :2].T + found[:, 2], faces.TEMPLATE, atol=1e-4)
    with pytest.raises(ValueError, match="lie in one place"):
        faces.similarity(np.zeros((5, 2)), faces.TEMPLATE)


def test_an_aligned_face_shows_each_point_in_its_place():
    picture = np.zeros((300, 300, 3), np.uint8)
    points = (faces.TEMPLATE[:, ::-1] * 1.5 + [80, 60]).astype(np.float32)
    points[:, 0] = 300 - points[:, 0]  # turned by a quarter
    for x, y in points.round().astype(int):
        picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    aligned = faces.align(picture, points)
    assert aligned.shape == (112, 112, 3)
    for x, y in faces.TEMPLATE.round().astype(int):
        assert aligned[y, x].min() > 200
    assert aligned.mean() < 30
    straight = faces.align(picture, faces.TEMPLATE.astype(np.float32))
    assert np.abs(straight.astype(int) - picture[:112, :112]).max() <= 1


def test_rows_of_the_detector_become_faces_the_largest_first():
    assert faces.faces_of_rows(None) == []
    rows = np.arange(30, dtype=np.float32).reshape(2, 15)
    small, large = rows
    found = faces.faces_of_rows(rows)
    assert [face.score for face in found] == [large[14], small[14]]
    assert np.array_equal(found[0].points[0], large[4:6])


def test_a_second_look_has_grey_around_the_picture():
    seen = []

    def find(picture):
        seen.append(picture)
        return find_square(picture) if len(seen) > 1 else []

    picture = np.zeros((40, 80, 3), np.uint8)
    picture[10:20, 30:40] = 255
    (face,) = faces.find_padded(find, picture)
    assert seen[1].shape == (60, 120, 3) and (seen[1][:10] == 128).all()
    assert face.box.tolist() == [30, 10, 10, 10]


def test_a_huge_picture_is_shrunk_for_the_detector():
    seen = []
    picture = np.zeros((1000, 2000, 3), np.uint8)
    picture[250:500, 500:1000] = 255
    (face,) = faces.find_shrunk(lambda small: seen.append(small.shape) or find_square(small), picture)
    assert seen == [(320, 640, 3)] and face.box == pytest.approx([500, 250, 500, 250], abs=8)
    assert np.allclose(face.points[:, 0], 500 + faces.TEMPLATE[:, 0] * 500 / 112, atol=8)


def small_network():
    torch.manual_seed(0)
    network = FaceNetwork(widths=(4, 4, 8, 8), depths=(1, 1, 1, 1)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(std=0.1)
    return network.requires_grad_(False)


def face_picture(seed, size=160):
    picture = np.random.default_rng(seed).integers(0, 250, (size, size, 3), np.uint8)
    picture[20:132, 30], picture[20:132, 141] = 255, 255  # what `find_square` sees
    return picture


def identity_metric(find=find_square):
    return identity.IdCur(identity.FaceReader(find), small_network(), torch.device("cpu"))


def identity_case(folder, *pictures):
    paths = tuple(folder / f"{index}.png" for index in range(len(pictures)))
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    return BenchCase(id="a", prompt="p", mode="TI", references=paths)


def test_a_picture_has_identity_1_with_itself(tmp_path):
    case = identity_case(tmp_path, face_picture(1))
    metric = identity_metric()
    same = metric.measure(Video(face_picture(1)[None].repeat(3, axis=0), None), case)
    other = metric.measure(Video(face_picture(2)[None], None), case)
    assert same == pytest.approx(1, abs=1e-5) and 0 <= other < 0.999


def test_frames_without_a_face_are_left_out_and_no_face_at_all_is_0(tmp_path):
    case = identity_case(tmp_path, face_picture(1))
    empty = np.zeros((160, 160, 3), np.uint8)
    mixed = Video(np.stack([face_picture(1), empty]), None)
    assert identity_metric().measure(mixed, case) == pytest.approx(1, abs=1e-5)
    assert identity_metric().measure(Video(empty[None], None), case) == 0
    thing = identity_case(tmp_path, empty)
    assert math.isnan(identity_metric().measure(mixed, thing))


def test_one_reference_meets_the_largest_face_and_several_the_most_alike():
    found, wanted = torch.eye(3), torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    assert identity.compare(found, wanted[:1]) == 0
    assert identity.compare(found, wanted) == 1
    assert identity.compare(-found, torch.eye(3)[:1]) == 0, "less than 0 counts as 0"


def test_three_networks_look_for_faces_once(tmp_path):
    looked = []
    reader = identity.FaceReader(lambda picture: looked.append(1) or find_square(picture))
    case, video = identity_case(tmp_path, face_picture(1)), Video(face_picture(1)[None], None)
    for cls in (identity.IdCur, identity.IdGlink, identity.FaceSimArc):
        cls(reader, small_network(), torch.device("cpu")).measure(video, case)
    assert len(looked) == 2
    reader.read(Video(video.frames, None), case)
    assert len(looked) == 4


def stage_names():
    """Names of insightface's file, without the counters of batch norms."""
    norm = ("weight", "bias", "running_mean", "running_var")
    yield from ("conv1.weight", "prelu.weight", "fc.weight", "fc.bias")
    yield from (f"{layer}.{kind}" for layer in ("bn1", "bn2", "features") for kind in norm)
    for stage, depth in enumerate(DEPTHS, start=1):
        for index in range(depth):
            block = f"layer{stage}.{index}"
            yield from (f"{block}.{layer}.weight" for layer in ("conv1", "conv2", "prelu"))
            yield from (f"{block}.bn{number}.{kind}" for number in (1, 2, 3) for kind in norm)
            if index == 0:
                yield f"{block}.downsample.0.weight"
                yield from (f"{block}.downsample.1.{kind}" for kind in norm)


def body_names(has_middle_norm):
    """Names of CurricularFace's file."""
    norm = ("weight", "bias", "running_mean", "running_var")
    yield from ("input_layer.0.weight", "input_layer.2.weight", "output_layer.3.weight", "output_layer.3.bias")
    yield from (f"{layer}.{kind}" for layer in ("input_layer.1", "output_layer.0") for kind in norm)
    yield from (f"output_layer.4.{kind}" for kind in norm[2:])
    layers = ["norm", "conv", "norm", "prelu", "conv", "norm"] if has_middle_norm else ["norm", "conv", "prelu"]
    layers = layers if has_middle_norm else [*layers, "conv", "norm"]
    for block in range(sum(DEPTHS)):
        for position, layer in enumerate(layers):
            kinds = norm if layer == "norm" else ("weight",)
            yield from (f"body.{block}.res_layer.{position}.{kind}" for kind in kinds)
        if block in (3, 16, 46):  # the stages whose width grows
            yield f"body.{block}.shortcut_layer.0.weight"
            yield from (f"body.{block}.shortcut_layer.1.{kind}" for kind in norm)


@pytest.mark.parametrize("kind", ["insightface", "with middle norm", "without"])
def test_published_face_networks_are_recognised(kind):
    if kind == "insightface":
        names = {name: torch.zeros(1) for name in stage_names()}
        expected = {"has_middle_norm": True, "projects_first": True}
    else:
        names = {name: torch.zeros(1) for name in body_names(kind == "with middle norm")}
        if kind == "without":
            names["body.0.res_layer.3.weight"] = torch.zeros(64, 64, 3, 3)
        expected = {"has_middle_norm": kind == "with middle norm", "projects_first": False}
    details, told = read_published(names)
    assert details == expected
    with torch.device("meta"):
        network = FaceNetwork(**details)
    wanted = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(told) == wanted and len(told) == len(names)
    if kind == "insightface":
        size = 4 * sum(value.numel() for value in network.state_dict().values())
        assert size == pytest.approx(identity.GLINT.num_bytes, rel=0.002)


def test_face_networks_give_directions():
    told = small_network()(face_network.to_pixels([face_picture(seed)[:112, :112] for seed in range(2)]))
    assert told.shape == (2, 512) and torch.allclose(told.norm(dim=1), torch.ones(2), atol=1e-5)
    assert face_network.to_pixels([np.full((112, 112, 3), 255, np.uint8)]).max() == 1
