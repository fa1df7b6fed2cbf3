"""LoRAs as they are chosen: a file with a weight, several at once, for good or for one video; few-step ones known.

Run: python -m pytest tests/loading/test_lora_files.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from loras import layer_of, save_lora

import humo
from humo.__main__ import main
from humo.loading.compiling import _state_of
from humo.loading.lora_files import LoraFile, find_few_step, list_loras, parse_lora
from humo.loading.loras import add_loras, read_loras, with_loras
from humo.pipeline import HuMoPipeline
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.links.settings import read_settings
from humo.system.digests import digest_file

CALL: dict[str, Any] = {"prompt": "a woman talks", "num_frames": 5, "num_inference_steps": 2, "seed": 3}


@pytest.fixture
def pipe() -> HuMoPipeline:
    return tiny.pipeline("mini")


def added(pipe: HuMoPipeline) -> torch.Tensor:
    """What is added to the layer, as it computes."""
    layer = layer_of_any(pipe)
    inputs = torch.eye(layer.in_features)
    with torch.no_grad():
        return (layer(inputs) - layer_of(tiny.pipeline("mini"))(inputs)).T


def layer_of_any(pipe: HuMoPipeline) -> Any:
    """The layer, under a LoRA too."""
    return pipe.transformer.get_submodule("blocks.0.attn1.to_q")


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.8", "a.safetensors", 0.8),
        ("a.safetensors:-1", "a.safetensors", -1.0),
        ("some:where/a.safetensors", "some:where/a.safetensors", 1.0),
        ("some:where/a.safetensors:2", "some:where/a.safetensors", 2.0),
        ("owner/repository", "owner/repository", 1.0),
    ],
)
def test_a_choice_is_a_file_and_a_weight(text: str, path: str, weight: float) -> None:
    assert parse_lora(text) == LoraFile(Path(path), weight)


def test_a_file_that_is_there_is_the_whole_text(tmp_path: Path) -> None:
    (tmp_path / "a:0.5").touch()
    assert parse_lora(f"{tmp_path}/a:0.5") == LoraFile(tmp_path / "a:0.5")
    assert parse_lora(f"{tmp_path}/a:0.5:2") == LoraFile(tmp_path / "a:0.5", 2.0)


@pytest.mark.parametrize("text", ["a.safetensors:x", "a.safetensors:99", "a.safetensors:nan", "a.safetensors:"])
def test_what_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^The weight of the LoRA a\.safetensors is .*: give FILE or FILE:WEIGHT"):
        parse_lora(text)


def test_several_count_together_each_with_its_weight(pipe: HuMoPipeline, tmp_path: Path) -> None:
    first, second = (save_lora(tmp_path / f"{n}.safetensors", pipe, n) for n in (1, 2))
    add_loras(pipe, read_loras([(tmp_path / "1.safetensors", 0.8), LoraFile(tmp_path / "2.safetensors", -0.5)]))
    torch.testing.assert_close(added(pipe), 0.8 * first - 0.5 * second, rtol=0, atol=1e-4)
    told = pipe(**CALL).settings["loras"]
    assert told == [
        {"name": "1", "weight": 0.8, "sha256": digest_file(tmp_path / "1.safetensors")},
        {"name": "2", "weight": -0.5, "sha256": digest_file(tmp_path / "2.safetensors")},
    ]


@pytest.mark.parametrize("form", ["path", "text", "pair", "list", "none", "empty"])
def test_one_lora_in_every_form(pipe: HuMoPipeline, tmp_path: Path, form: str) -> None:
    file = tmp_path / "a.safetensors"
    whole = save_lora(file, pipe)
    given: Any = {"path": file, "text": str(file), "pair": (file, 0.5), "list": [file], "none": None, "empty": []}
    pipe.save_pretrained(tmp_path / "tiny")
    loaded = humo.load(tmp_path / "tiny", device="cpu", dtype=torch.float32, lora=given[form])
    weight = {"pair": 0.5, "none": 0.0, "empty": 0.0}.get(form, 1.0)
    torch.testing.assert_close(added(loaded), whole * weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["/nowhere/a.safetensors"], "The LoRA a.safetensors does not exist"),
        ([("a.bin", 11)], "The weight of the LoRA a.bin is 11"),
        ([7], "A LoRA is int: give a path"),
    ],
)
def test_what_is_no_lora_is_refused_before_a_model_is_loaded(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        humo.load("17B", lora=given)


def test_for_one_video_and_then_as_before_to_the_bit(pipe: HuMoPipeline, tmp_path: Path) -> None:
    whole = save_lora(tmp_path / "a.safetensors", pipe)
    before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    layers, state = [*map(id, pipe.transformer.modules())], _state_of(pipe.transformer)
    plain = pipe(**CALL)
    with with_loras(pipe, [LoraFile(tmp_path / "a.safetensors", 0.5)]):
        torch.testing.assert_close(added(pipe), 0.5 * whole, rtol=0, atol=1e-4)
        assert _state_of(pipe.transformer) != state, "compiled code does not fit meanwhile"
        assert not np.array_equal(pipe(**CALL).frames, plain.frames)
    with pytest.raises(RuntimeError, match="broken off"), with_loras(pipe, [LoraFile(tmp_path / "a.safetensors")]):
        raise RuntimeError("broken off")
    after = pipe.transformer.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert [*map(id, pipe.transformer.modules())] == layers and _state_of(pipe.transformer) == state
    again = pipe(**CALL)
    assert np.array_equal(again.frames, plain.frames) and "loras" not in again.settings


def test_a_second_that_does_not_fit_takes_the_first_out_again(pipe: HuMoPipeline, tmp_path: Path) -> None:
    save_lora(tmp_path / "a.safetensors", pipe)
    (tmp_path / "b.safetensors").write_bytes(b"nothing of a tensor")
    loras = [LoraFile(tmp_path / f"{name}.safetensors") for name in "ab"]
    with pytest.raises(ValueError, match="The LoRA b.safetensors is damaged"), with_loras(pipe, loras):
        pass
    assert pipe.active_loras() == []


def test_a_job_with_loras_is_made_alone_and_in_full_quality(pipe: HuMoPipeline, tmp_path: Path) -> None:
    whole = save_lora(tmp_path / "a.safetensors", pipe)
    asked = VideoRequest(**CALL, loras=(LoraFile(tmp_path / "a.safetensors", 0.5),))
    task = MakeVideo(asked, tmp_path / "out.mp4")
    assert task.batch_key is None and MakeVideo(VideoRequest(**CALL), tmp_path / "a.mp4").batch_key is not None
    assert whole.abs().max() > 0.1
    result = task.run(pipe, lambda moment: None)
    (lora,) = read_settings(result.path).loras
    assert (lora.name, lora.weight, lora.sha256) == ("a", 0.5, digest_file(tmp_path / "a.safetensors"))
    assert pipe.active_loras() == []
    pipe.fast_form = tiny.pipeline("mini")
    with pytest.raises(ValueError, match="a quick look takes no LoRA"):
        VideoRequest(**CALL, loras=asked.loras, is_fast=True).run(pipe)


def test_a_model_that_has_loras_of_its_own_takes_none_for_a_video(pipe: HuMoPipeline, tmp_path: Path) -> None:
    save_lora(tmp_path / "a.safetensors", pipe)
    pipe.load_lora_weights(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="has LoRAs already"), with_loras(pipe, [LoraFile(tmp_path / "a.safetensors")]):
        pass
    assert len(pipe.active_loras()) == 1


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32", 4),
        ("Wan21_CausVid_14B_T2V_lora_rank32_v2", 8),
        ("Wan2.1_T2V_14B_FusionX_LoRA", 8),
        ("Wan21_AccVid_T2V_14B_lora_rank32_fp16", 8),
        ("some-4steps-lora", 4),
        ("a_6-step_model", 6),
        ("face_rank32", None),
        ("my-face-2000steps", None),
        ("wan2.1_steps", None),
    ],
)
def test_few_step_loras_are_known_by_name(name: str, steps: int | None) -> None:
    few = find_few_step([Path(f"{name}.safetensors")])
    assert (None if few is None else few.num_inference_steps) == steps


def test_few_step_loras_are_known_by_what_their_header_tells(pipe: HuMoPipeline, tmp_path: Path) -> None:
    save_lora(tmp_path / "a.safetensors", pipe, told={"ss_output_name": "wan-causvid"})
    save_lora(tmp_path / "b.safetensors", pipe, told={"ss_output_name": "me"})
    few = find_few_step([tmp_path / "b.safetensors", tmp_path / "a.safetensors"])
    assert few is not None and (few.name, few.num_inference_steps) == ("a", 8)


def test_a_folder_of_loras_is_listed_by_name(pipe: HuMoPipeline, tmp_path: Path) -> None:
    for name in ("b", "a"):
        save_lora(tmp_path / f"{name}.safetensors", pipe)
    (tmp_path / "readme.txt").touch()
    assert list(list_loras(tmp_path)) == ["a", "b"]
    with pytest.raises(ValueError, match="HUMO_LORAS is 'readme.txt', which is no folder"):
        list_loras(tmp_path / "readme.txt")


def test_the_command_takes_several_and_tells_what_a_few_step_one_asks_for(
    pipe: HuMoPipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe.save_pretrained(tmp_path / "tiny")
    for number, name in enumerate(("face", "quick-4steps"), start=1):
        save_lora(tmp_path / f"{name}.safetensors", pipe, number)
    out = tmp_path / "out.mp4"
    loras = f"--lora {tmp_path}/face.safetensors:0.5 --lora {tmp_path}/quick-4steps.safetensors"
    asked = f"generate --preset {tmp_path}/tiny --frames 5 --out {out} --prompt talks {loras}".split()
    assert main(asked) == 0
    told = capsys.readouterr().err
    options = "--steps 4 --guidance constant --text-scale 1 --image-scale 1 --audio-scale 3"
    assert "quick-4steps looks like a few-step LoRA: 4 steps are enough" in told and options in told
    assert [(each.name, each.weight) for each in read_settings(out).loras] == [("face", 0.5), ("quick-4steps", 1.0)]
    assert main([*asked, *options.split()]) == 0
    assert "few-step" not in capsys.readouterr().err and read_settings(out).num_inference_steps == 4
    assert main([*asked, "--lora", "a.safetensors:x"]) == 2
    assert "The weight of the LoRA a.safetensors is 'x'" in capsys.readouterr().err
