"""The finished folder: a HuMo transformer, in stage 2 the focus head, with LoRA its weights beside, and a record.

    transformer/   as `HuMoTransformer3DModel.from_pretrained` reads it; without what LoRA learned
    lora/          as `HuMoPipeline.load_lora_weights` reads it
    focus_head/    as `FaceMaskPredictor.from_pretrained` reads it
    vae/           the codec, where the input form needs its null video: so that the next stage finds it
    finetune.json  settings, steps and where it began

Weights are the averaged ones, in the dtype in which they were held: what learned in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.training_utils import EMAModel
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from humo.finetuning.model import FinetuneModel, is_lora, learned, plain_name
from humo.finetuning.settings import FinetuneSettings
from humo.finetuning.sharding import whole, write_tensors
from humo.finetuning.source import RECORD, NullVideo
from humo.pipeline import HuMoPipeline
from humo.system.files import write_json

_STEM = "diffusion_pytorch_model"


def export(
    out: Path,
    model: nn.Module,
    average: EMAModel | None,
    settings: FinetuneSettings,
    null_video: NullVideo | None,
    record: Mapping[str, Any],
    is_main: bool,
) -> None:
    """Writes the finished folder. All processes call it; the record comes last, so that it stands for the whole.

    Args:
        out: folder of the run.
        model: as `accelerate` prepared it.
        average: averaged weights; None to export those of the last step.
        settings: of the training.
        null_video: whose codec is written too, in the 17B form.
        record: plain values for finetune.json.
        is_main: whether this process writes.
    """
    inner: Any = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    tensors = _averaged(inner, average)
    transformer = {k.removeprefix("transformer."): v for k, v in tensors.items() if k.startswith("transformer.")}
    base = {plain_name(name): tensor for name, tensor in transformer.items() if not is_lora(name)}
    if is_main:
        (out / RECORD).unlink(missing_ok=True)
        inner.transformer.save_config(out / "transformer")
    write_tensors(base, out / "transformer", _STEM, is_main)
    if settings.lora_rank:
        _write_lora(out / "lora", inner, transformer, is_main)
    if inner.focus_head is not None:
        head = {k.removeprefix("focus_head."): v for k, v in tensors.items() if k.startswith("focus_head.")}
        if is_main:
            inner.focus_head.save_config(out / "focus_head")
        write_tensors(head, out / "focus_head", _STEM, is_main)
    if is_main:
        black_level = {}
        if null_video is not None:
            null_video.codec.save_pretrained(out / "vae")
            black_level = {"black_level": null_video.level}
        write_json(out / RECORD, {**record, **black_level, "settings": settings.describe()})


def _averaged(model: FinetuneModel, average: EMAModel | None) -> dict[str, Tensor]:
    """All parameters by name, the averages in place of what learned."""
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    if average is not None:
        tensors |= dict(zip(learned(model), average.shadow_params, strict=True))
    return tensors


def _write_lora(folder: Path, model: FinetuneModel, tensors: Mapping[str, Tensor], is_main: bool) -> None:
    whole_ones = {name: whole(tensor) for name, tensor in tensors.items() if is_lora(name)}
    if not is_main:
        return
    HuMoPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model.transformer, state_dict=whole_ones),
        transformer_lora_adapter_metadata=model.transformer.peft_config["default"].to_dict(),
    )
