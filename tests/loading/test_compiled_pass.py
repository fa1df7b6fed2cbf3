"""Compiled passes are the model's own, are kept and checked, and everything that they are not made for still works.

Run: python -m pytest tests/loading/test_compiled_pass.py -n 0
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.hooks import apply_group_offloading

from humo.checkpoints import load
from humo.loading.compiling import (
    FrozenPass,
    UnlikeCodeError,
    _prove_pass,
    computed_by,
    find_pass,
    make_pass,
    use_compiled,
)
from humo.loading.fast_form import with_scalars
from humo.pipeline import HuMoPipeline
from humo.system.caches import compiled_folder
from humo.training.transformer.model import add_detail_head

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning"),  # inductor's own use of it
]

LEAST = 60.0
"""dB, in float32."""


def _pipeline(form: str) -> HuMoPipeline:
    pipe = tiny.pipeline("mini")
    if form == "exact":  # whose last step the detail head sharpens
        pipe.register_modules(transformer=add_detail_head(pipe.transformer, 1).eval())
        torch.nn.init.normal_(pipe.transformer.detail_head.out.weight, std=0.5)
    if form == "fast":
        transformer = with_scalars(pipe.transformer).eval()
        torch.nn.init.normal_(transformer.guidance_embedder.mlp.linear_2.weight, std=0.5)
        pipe.register_modules(transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0))
        pipe.register_to_config(default_guidance={"rule": "constant", "text": 3.0, "image": 2.0, "audio": 2.0})
    return pipe


@pytest.fixture(scope="module", params=["exact", "fast"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[HuMoPipeline, FrozenPass]:
    """A form, and its pass in the folder `folder`, which is compiled here."""
    pipe = _pipeline(request.param)
    compiled = make_pass(pipe, tmp_path_factory.mktemp(request.param))
    assert compiled is not None
    return pipe, compiled


@pytest.fixture(scope="module")
def folder(made: tuple[HuMoPipeline, FrozenPass], tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    kind = "fast" if made[0].transformer.config.guidance_embeds else "exact"
    return next(path for path in base.glob(f"{kind}*") if any(path.glob("*.pt2")))


def _inputs(**changes: Any) -> dict[str, Any]:
    return {
        "prompt": "a woman with red hair talks",
        "image": tiny.picture(),
        "audio": tiny.voice(0.6),
        "seed": 3,
        "num_inference_steps": 3,
        **changes,
    }


def _frames(pipe: HuMoPipeline, way: FrozenPass | None, **changes: Any) -> np.ndarray:
    with computed_by(pipe.transformer, way):
        return pipe(**_inputs(**changes)).frames.astype(np.float64)


def _count(compiled: FrozenPass, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Videos and branches of every pass that the code makes from now on."""
    seen, run = list[int](), compiled.run

    def counted(hidden_states: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(len(hidden_states))
        velocity: torch.Tensor = run(hidden_states, *others)
        return velocity

    monkeypatch.setattr(compiled, "run", counted)
    return seen


@pytest.mark.parametrize("left_out", [(), ("image",), ("audio",), ("image", "audio")])
def test_a_compiled_clip_is_the_models_own(
    made: tuple[HuMoPipeline, FrozenPass], left_out: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, compiled = made
    changes = dict.fromkeys(left_out) | ({"num_frames": 13} if "audio" in left_out else {})
    wanted = _frames(pipe, None, **changes)
    passes = _count(compiled, monkeypatch)
    error = np.square(_frames(pipe, compiled, **changes) - wanted).mean()
    assert error == 0 or 10 * np.log10(255**2 / error) > LEAST
    is_fast = pipe.transformer.config.guidance_embeds
    assert len(passes) == (3 if is_fast else 2), "every pass that needs no detail head"
    assert (max(passes) == 1) == is_fast, "all branches of guidance at once"


def test_another_size_and_changed_weights_are_computed_as_written(
    made: tuple[HuMoPipeline, FrozenPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, compiled = made
    wanted, passes = _frames(pipe, None, height=96), _count(compiled, monkeypatch)
    assert np.array_equal(_frames(pipe, compiled, height=96), wanted) and passes == []
    weight = pipe.transformer.blocks[0].ffn.net[2].weight
    with torch.no_grad():
        weight.mul_(1.0)
    try:
        assert np.array_equal(_frames(pipe, compiled), _frames(pipe, None)) and passes == []
    finally:
        compiled.__post_init__()


def test_what_was_compiled_is_found_again_and_needs_no_compiler(
    made: tuple[HuMoPipeline, FrozenPass], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    again = _pipeline("fast" if made[0].transformer.config.guidance_embeds else "exact")
    again.transformer.load_state_dict(made[0].transformer.state_dict())
    found = make_pass(again, folder)
    assert found is not None and found.psnr == made[1].psnr
    with torch.no_grad():
        again.transformer.proj_out.weight.mul_(2.0)
    assert find_pass(again, folder) is None, "another model"


def test_a_damaged_file_is_made_anew(
    made: tuple[HuMoPipeline, FrozenPass], folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "compiled"
    shutil.copytree(folder, copy)
    file = next(copy.glob("*.pt2"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"\0" * (len(whole) - len(whole) // 2))
    assert find_pass(made[0], copy) is None
    told = [record.getMessage() for record in caplog.records if "made anew" in record.getMessage()]
    assert len(told) == 1 and file.name in told[0] and not file.exists()
    if made[0].transformer.config.guidance_embeds:  # once is enough, for it takes a while
        assert make_pass(made[0], copy) is not None and file.exists()


def test_code_of_other_weights_is_refused(made: tuple[HuMoPipeline, FrozenPass]) -> None:
    other = _pipeline("fast" if made[0].transformer.config.guidance_embeds else "exact").transformer
    with torch.no_grad():
        other.patch_embedding.weight.mul_(1.5)
    with pytest.raises(UnlikeCodeError, match="PSNR of .* 40 are wanted"):
        _prove_pass(FrozenPass(made[1].run, other, made[1].size, 0.0))


def test_without_a_compiler_a_sentence_says_so_and_the_model_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    pipe = load(tmp_path / "small", device="cpu", compile=True)
    assert pipe.transformer.compiled_pass is None
    assert sum("install g++ or name yours in CXX" in each.getMessage() for each in caplog.records) == 1
    assert len(pipe(**_inputs()).frames) == 17


def test_what_cannot_be_compiled_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match="leave `compile` out, or the cache"):
        load(tmp_path / "small", device="cpu", cache="taylor", compile=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled_folder().chmod(0o755)
    with pytest.raises(ValueError, match="not yours alone"):
        use_compiled(tiny.pipeline("mini"), is_small=True)


def test_blocks_of_a_large_model_are_compiled_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny.pipeline("mini")
    use_compiled(pipe, is_small=False)
    assert all(block._compiled_call_impl is not None for block in pipe.transformer.blocks)
    assert pipe.transformer.compiled_pass is None


def test_a_model_whose_weights_rest_on_the_cpu_is_compiled_for_its_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")  # which a GPU does not need
    pipe, cpu = tiny.pipeline("mini"), torch.device("cpu")
    apply_group_offloading(pipe.text_encoder, torch.device("cuda"), cpu, offload_type="leaf_level")
    assert pipe.device == cpu and pipe._execution_device == torch.device("cuda")
    use_compiled(pipe, is_small=False)
    assert all(block._compiled_call_impl is not None for block in pipe.transformer.blocks) and not caplog.records
