"""Probes: what they learn from, how they are kept, and those that come with the project.

python -m pytest tests/evaluation/test_probes.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_evaluation import QUICK
from torch.testing import assert_close
from typer.testing import CliRunner

from humo.assets import PROBES
from humo.evaluation.cases import make_cases
from humo.evaluation.probes import examples as example_frames
from humo.evaluation.probes.__main__ import app as train_command
from humo.evaluation.probes.networks import (
    FRAME_ATTRIBUTES,
    OPTIONS,
    SIDE,
    FrameProbe,
    Probes,
    ProbeSettings,
    hash_code,
    probe_key,
    shrink,
    world_version,
)
from humo.evaluation.probes.training import get_probes, probe_loss
from humo.evaluation.report import probe_table
from humo.world.clips import plan_clip


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Probes:
    return get_probes(tmp_path_factory.mktemp("probes"), QUICK, tiny.codec())


def test_places_lie_on_the_person() -> None:
    examples = example_frames.draw_examples(range(8), "train", replace(QUICK, size=64))
    shown = examples.face > 0
    places = examples.places[shown]
    assert examples.frames.shape == (24, 3, SIDE, SIDE)
    assert ((places > 0.05) & (places < 0.95)).all()
    assert_close(places[:, 0], places[:, 2], atol=0.06, rtol=0)  # the features are on the head
    assert (places[:, 5] < 0.36).all()
    plan = example_frames.without_second(plan_clip(0))
    assert OPTIONS["colour"][examples.labels["colour"][0]] == plan.setting.colour


def test_batches_hold_people_and_things_without_a_face() -> None:
    examples = example_frames.draw_examples(range(8), "train", QUICK)
    batch = next(example_frames.batches(examples, example_frames.draw_empty(4, np.random.default_rng(0)), QUICK))
    is_shown = batch.face > 0
    assert len(batch) == 40
    assert 20 <= is_shown.sum() <= 30
    assert (batch.labels["skin"][~is_shown] == example_frames.IGNORED).all()
    assert batch.mouth[is_shown].isfinite().all()
    assert batch.mouth[~is_shown].isnan().all()
    assert batch.frames.abs().max() <= 1
    loss = probe_loss(FrameProbe()(batch.frames), batch)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.slow
def test_a_few_steps_teach_the_probe() -> None:
    torch.manual_seed(0)
    examples = example_frames.draw_examples(range(8), "train", QUICK)
    settings = replace(QUICK, batch_size=20)
    batch = next(example_frames.batches(examples, example_frames.draw_empty(4, np.random.default_rng(0)), settings))
    network = FrameProbe()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-4)
    losses = []
    for _ in range(6):
        loss = probe_loss(network(batch.frames), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_probes_are_kept_and_read_any_size(probes: Probes, tmp_path: Path) -> None:
    probes.save(tmp_path, QUICK)
    loaded = Probes.load(tmp_path)
    frames = make_cases(1, seed=3, num_frames=25, size=64)[0].clip.frames
    reading = probes.read(frames)
    np.testing.assert_array_equal(reading.openness, loaded.read(frames).openness)
    assert loaded.accuracy == probes.accuracy
    assert reading.face.shape == (25,)
    assert all(share.sum() == pytest.approx(1, abs=1e-4) for share in reading.shares.values())
    np.testing.assert_allclose(probes.read(frames.repeat(2, 1).repeat(2, 2)).openness, reading.openness, atol=1e-5)
    assert get_probes(tmp_path).accuracy == probes.accuracy
    record = tmp_path / "probes.json"
    record.write_text(record.read_text().replace(world_version(), "another"))
    with pytest.raises(ValueError, match="another version of the world"):
        Probes.load(tmp_path)
    with pytest.raises(ValueError, match="no probes"):
        Probes.load(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="elsewhere holds no probes: leave it out for the bundled ones"):
        get_probes(tmp_path / "elsewhere")


def test_the_bundled_probes_fit_the_world_and_lose_nothing_when_stored(tmp_path: Path) -> None:
    bundled = get_probes()
    assert bundled.accuracy["renders"]["openness"] > 0.95 and bundled.accuracy["renders"]["false_faces"] < 0.05
    bundled.save(tmp_path, ProbeSettings())
    assert (tmp_path / "probes.safetensors").read_bytes() == (PROBES / "probes.safetensors").read_bytes()
    kept = load_file(tmp_path / "probes.safetensors")
    assert all(value.dtype == torch.float16 for name, value in kept.items() if value.ndim > 1)
    for name, value in Probes.load(tmp_path).state_dict().items():
        assert torch.equal(value, bundled.state_dict()[name]), name


def test_the_command_trains_probes_whose_weights_are_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humo.evaluation.probes.networks.ProbeSettings", lambda **more: replace(QUICK, **more))
    result = CliRunner().invoke(train_command, ["--out", str(tmp_path / "eyes"), "--steps", "1"])
    assert result.exit_code == 0 and "| openness |" in result.output
    probes = Probes.load(tmp_path / "eyes")
    assert all(torch.equal(weight.half().float(), weight) for weight in probes.parameters() if weight.ndim > 1)
    assert (tmp_path / "eyes" / "probes.safetensors").stat().st_size < 3 << 20


def test_probes_report_their_accuracy(probes: Probes) -> None:
    assert probes.accuracy["clips"] == 16
    for column in ("renders", "codec"):
        assert set(probes.accuracy[column]) >= {*OPTIONS, "openness", "width", "faces", "false_faces"}
    assert "| hair_style |" in probe_table(probes.accuracy)


def test_other_settings_or_codecs_need_other_probes() -> None:
    keys = {probe_key(QUICK), probe_key(replace(QUICK, steps=3)), probe_key(QUICK, "abc")}
    assert len(keys) == 3


def test_code_is_told_apart_by_what_it_does_in_every_python() -> None:
    source = 'class A:\n    """Words."""\n    x: int = 3\n\n    def f(self, *a, b=1):\n'
    source += '        """More."""\n        return a[b:]\n'
    same = source.replace("Words", "Other words").replace("= 3", "= (  # three\n        3\n    )")
    assert hash_code([source]) == hash_code([same]) == "ea8ddf1efa"  # whichever Python computes it
    for other in (source.replace("= 3", "= 4"), source.replace("b:", ":b"), source.replace("*a", "a")):
        assert hash_code([other]) != hash_code([source])
    assert hash_code([source, source]) != hash_code([source]) and len(world_version()) == 10


def test_frames_are_shrunk_by_area() -> None:
    frames = np.zeros((1, 128, 128, 3), np.uint8)
    frames[:, ::2] = 255
    assert_close(shrink(frames), torch.zeros(1, 3, SIDE, SIDE))
    assert set(FRAME_ATTRIBUTES) == set(OPTIONS) - {"motion"}
