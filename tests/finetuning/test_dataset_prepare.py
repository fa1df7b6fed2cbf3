"""World -> HuMoSet's layout -> shards -> training batches. Run: pytest tests/finetuning/test_dataset_prepare.py"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from multiprocessing import active_children

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from humo.audio import encode_audio, window_audio
from humo.finetuning.dataset.clips.examine import examine
from humo.finetuning.dataset.command import parse_shard, settings_for
from humo.finetuning.dataset.costs import bytes_of_clip
from humo.finetuning.dataset.example import write_example, write_table
from humo.finetuning.dataset.loader import PreparedDataset
from humo.finetuning.dataset.preparation import prepare_dataset, share_from_environment
from humo.finetuning.dataset.rows import RowTable
from humo.finetuning.dataset.shards import is_done
from humo.media import write_video
from humo.references import encode_references, encode_video, picture_to_pixels

GOOD = 5
BAD = {"clip-00000b.mp4": "video missing", "clip-00001b.mp4": "empty file", "clip-00002b.mp4": "no face"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five good rows, the last with fewer frames, and between them three bad ones and one without caption."""
    folder = tmp_path_factory.mktemp("set")
    clips = write_example(folder, GOOD, num_frames=19, size=64)
    write_video(folder / "video" / "clip-00004.mp4", clips[4].frames[:12], audio=(clips[4].waveform, 16_000))
    (folder / "video" / "clip-00001b.mp4").touch()
    shutil.copy(folder / "video" / "clip-00002.mp4", folder / "video" / "clip-00002b.mp4")
    write_video(folder / "face_mask" / "clip-00002b.mp4", np.zeros((19, 64, 64, 3), np.uint8))
    for bad in BAD:
        stem = bad.removesuffix(".mp4")
        shutil.copy(folder / "reference_image" / f"{stem[:-1]}.png", folder / "reference_image" / f"{stem}.png")
        if not (folder / "face_mask" / bad).exists():
            shutil.copy(folder / "face_mask" / f"{stem[:-1]}.mp4", folder / "face_mask" / bad)
    videos, captions = [], []
    for number in range(GOOD):
        videos += [f"clip-{number:05d}.mp4"] + [bad for bad in BAD if int(bad[5:10]) == number]
    captions = ["a woman with red hair talks"] * len(videos)
    write_table(folder, [*videos, "clip-00000.mp4"], [*captions, None])
    return folder


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline("mini")


@pytest.fixture(scope="module")
def settings(pipe):
    return settings_for(pipe, area=64 * 64, max_frames=17, min_frames=9, frame_step=8, rows_per_unit=2, dtype="float32")


@pytest.fixture(scope="module")
def prepared(source, pipe, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    return out, prepare_dataset(RowTable(source), pipe, out, settings)


def shards_of(folder):
    """Everything in the shards but the time it took."""
    tensors, facts = {}, []
    for file in sorted((folder / "shards").iterdir()):
        if file.suffix == ".safetensors":
            tensors |= load_file(file)
        else:
            unit = json.loads(file.read_text())
            facts.append({name: unit[name] for name in ("unit", "file", "samples", "dropped", "bytes")})
    return tensors, facts


def assert_same(first, second):
    (tensors, facts), (others, other_facts) = shards_of(first), shards_of(second)
    assert facts == other_facts and tensors.keys() == others.keys() and tensors
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name


def test_settings_fit_the_pipeline(pipe, wan_pipeline):
    fitted = settings_for(pipe)
    assert (fitted.area, fitted.multiple, fitted.spatial_scale) == (64 * 64, 32, 16)
    assert (fitted.max_frames, fitted.min_frames) == (9, 1)
    fitted = settings_for(wan_pipeline, max_frames=97)
    assert (fitted.multiple, fitted.spatial_scale, fitted.max_frames, fitted.min_frames) == (16, 8, 97, 45)
    assert parse_shard("2/4") == (2, 4)
    for wrong in ("4/4", "1", "a/b", "-1/2"):
        with pytest.raises(ValueError, match="give i/n"):
            parse_shard(wrong)


@pytest.mark.slow
def test_bad_rows_are_dropped_and_reported(prepared):
    out, report = prepared
    assert report["rows"] == {"done": 9, "all": 9} and report["kept"] == GOOD
    reasons = {reason: facts["count"] for reason, facts in report["dropped"].items()}
    assert reasons == dict.fromkeys([*BAD.values(), "no caption"], 1)
    assert report["dropped"]["no face"]["examples"][0]["key"] == "clip-00002b"
    assert sum(report["buckets"].values()) == GOOD and len(report["buckets"]) == 2
    assert json.loads((out / "report.json").read_text()) == report
    text = (out / "report.md").read_text()
    for reason in reasons:
        assert f"| {reason} | 1 |" in text


def test_costs_follow_from_what_was_measured(prepared):
    out, report = prepared
    size = sum(file.stat().st_size for file in (out / "shards").glob("*.safetensors"))
    million = report["million"]
    assert million["bytes"] == round(1e6 * size / GOOD) and million["rows"] == round(1e6 * 9 / GOOD)
    assert million["encode_device_hours"] == pytest.approx(sum(report["seconds"]["encode"].values()) * 1e6 / 3600)
    spent = million["examine_core_hours"] + million["encode_device_hours"]
    assert spent > 0  # processor time, ffmpeg's threads included: not to be compared with the clock
    shape = dict(num_frames=17, height=64, width=64, z_dim=8, scale=16, text_dim=16, audio_dim=8, dtype="float32")
    first = json.loads((out / "shards" / "clips-000000.json").read_text())["samples"][0]
    assert first["bytes"] == bytes_of_clip(text_tokens=7, **shape)  # six words and the end


@pytest.mark.slow
def test_batches_hold_what_the_pipeline_would_compute(source, pipe, settings, prepared):
    data = PreparedDataset(prepared[0])
    batches = data.batches(2, seed=0)
    seen = {}
    for _ in range(data.batches_per_epoch(2)):
        batch = next(batches)
        seen |= {key: (batch, place) for place, key in enumerate(batch.keys)}
    assert sorted(seen) == [f"clip-{number:05d}" for number in range(GOOD)]
    rows = {row.key: row for row in RowTable(source) if row.caption}
    for key, (batch, place) in seen.items():
        clip = examine(rows[f"{key}.mp4"], source, settings)
        frames = len(clip.frames)
        latents = 1 + (frames - 1) // 4
        assert frames == (9 if key == "clip-00004" else 17)
        assert batch.latents.shape == (2, 8, latents, 4, 4) and batch.references.shape == (2, 8, 1, 4, 4)
        assert batch.text.shape == (2, 12, tiny.TEXT_DIM) and batch.null_text.shape == (1, 12, tiny.TEXT_DIM)
        assert batch.audio.shape == (2, latents + 1, 8, 5, tiny.AUDIO_CHANNELS)
        assert batch.face.shape == (2, latents, 4, 4) and set(batch.face.unique().tolist()) <= {0.0, 1.0}
        with torch.no_grad():
            pixels = torch.cat([picture_to_pixels(Image.fromarray(frame)) for frame in clip.frames], dim=2)
            assert_close(batch.latents[place], encode_video(pixels, pipe.vae)[0])
            picture = Image.open(source / "reference_image" / f"{key}.png")
            assert_close(batch.references[place], encode_references([picture], pipe.vae, 64, 64)[0])
            features = encode_audio(clip.waveform, pipe.feature_extractor, pipe.audio_encoder)
            assert_close(batch.audio[place, :latents], window_audio(features, frames))
            assert_close(batch.text[place], pipe.encode_prompt("a woman with red hair talks")[0])
            assert_close(batch.null_text, pipe.encode_prompt(""))
        assert not batch.audio[place, latents:].any() and batch.audio[place, :latents].any()
        assert torch.equal(batch.face[place], torch.from_numpy(clip.face).float())
        assert batch.to("cpu").keys == batch.keys


@pytest.mark.slow
def test_half_precision_is_stored_close_by(source, pipe, settings, prepared, tmp_path):
    prepare_dataset(RowTable(source), pipe, tmp_path, replace(settings, dtype="float16"))
    exact, half = shards_of(prepared[0])[0], shards_of(tmp_path)[0]
    assert half["0.latents"].dtype == torch.float16
    for name, tensor in exact.items():
        assert_close(half[name].float(), tensor.float(), rtol=1e-3, atol=1e-3)
    assert sum(t.nbytes for t in half.values()) < 0.6 * sum(t.nbytes for t in exact.values())


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(source, pipe, settings, prepared, tmp_path):
    class Stop(BaseException):
        pass

    def stop(index, facts):
        if index == 1:
            raise Stop

    with pytest.raises(Stop):
        prepare_dataset(RowTable(source), pipe, tmp_path, settings, on_unit=stop)
    assert [is_done(tmp_path, index) for index in range(5)] == [True, True, False, False, False]
    first = tmp_path / "shards" / "clips-000000.safetensors"
    begun = tmp_path / "shards" / "clips-000002.safetensors.part"
    begun.write_bytes(b"killed while writing")
    (tmp_path / "shards" / "clips-000002.safetensors").write_bytes(b"killed before the facts were written")
    before = first.stat().st_mtime_ns
    done = []
    prepare_dataset(RowTable(source), pipe, tmp_path, settings, on_unit=lambda index, facts: done.append(index))
    assert done == [2, 3, 4] and first.stat().st_mtime_ns == before and not begun.exists()
    assert_same(tmp_path, prepared[0])


def test_another_model_or_setting_is_refused(source, pipe, settings, prepared):
    table = RowTable(source)
    with pytest.raises(ValueError, match="was prepared with settings.max_frames 17 and not 13"):
        prepare_dataset(table, pipe, prepared[0], replace(settings, max_frames=13))
    other = tiny.pipeline("mini")
    with torch.no_grad():
        next(other.vae.parameters()).add_(1.0)
    with pytest.raises(ValueError, match="was prepared with model.fingerprint"):
        prepare_dataset(table, other, prepared[0], settings)


@pytest.mark.slow
def test_two_workers_equal_one_even_if_one_is_killed(source, pipe, settings, prepared, tmp_path):
    def kill(index, facts):
        if index == 1:
            os.kill(active_children()[0].pid, signal.SIGKILL)

    prepare_dataset(RowTable(source), pipe, tmp_path, settings, workers=2, on_unit=kill)
    assert_same(tmp_path, prepared[0])


@pytest.mark.slow
def test_two_machines_cover_everything_once(source, pipe, settings, prepared, tmp_path, monkeypatch):
    table, done = RowTable(source), [[], []]
    for machine in (0, 1):
        share = share_from_environment(machine, 2)
        prepare_dataset(table, pipe, tmp_path, settings, share=share, on_unit=lambda i, _, m=machine: done[m].append(i))
    assert done == [[0, 2, 4], [1, 3]]
    assert_same(tmp_path, prepared[0])
    assert PreparedDataset(tmp_path).samples == PreparedDataset(prepared[0]).samples
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert share_from_environment(1, 2) == (11, 16)


def test_workers_need_no_torch():
    command = (
        "import humo.finetuning.dataset.clips.examine, sys; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


def take(data, count, **arguments):
    batches = data.batches(seed=5, **arguments)
    return [next(batches) for _ in range(count)]


def test_order_follows_from_the_seed_and_goes_on_anywhere(prepared):
    data = PreparedDataset(prepared[0])
    epoch = data.batches_per_epoch(2)
    assert epoch == 3  # four clips of one shape, one of another
    whole = take(data, 3 * epoch, batch_size=2)
    keys = [batch.keys for batch in whole]
    for start in (1, epoch, 2 * epoch + 1):
        rest = take(PreparedDataset(prepared[0]), len(whole) - start, batch_size=2, start=start)
        assert [batch.keys for batch in rest] == keys[start:]
        assert torch.equal(rest[0].latents, whole[start].latents)
    orders = [keys[place : place + epoch] for place in (0, epoch, 2 * epoch)]
    assert orders[0] != orders[1] or orders[1] != orders[2]
    for order in orders:
        assert {key for names in order for key in names} == {f"clip-{number:05d}" for number in range(GOOD)}
    other = data.batches(2, seed=6)
    assert [next(other).keys for _ in keys] != keys


def test_two_processes_share_the_batch_of_one(prepared):
    data = PreparedDataset(prepared[0])
    single = take(data, 6, batch_size=4)
    halves = [take(data, 6, batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
    for one, left, right in zip(single, *halves, strict=True):
        assert one.keys == left.keys + right.keys and left.latents.shape == right.latents.shape
        assert torch.equal(one.audio, torch.cat([left.audio, right.audio]))
    with pytest.raises(ValueError, match="rank from 0 to world_size - 1"):
        data.batches(2, seed=0, rank=2, world_size=2)


def test_damaged_preparations_are_refused(prepared, tmp_path):
    with pytest.raises(ValueError, match="index.json is missing: run `python -m humo prepare` to its end"):
        PreparedDataset(tmp_path)
    folder = tmp_path / "copy"
    shutil.copytree(prepared[0], folder)
    shard = folder / "shards" / "clips-000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(ValueError, match="clips-000000.safetensors in copy is missing or cut short"):
        PreparedDataset(folder)
