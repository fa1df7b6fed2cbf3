"""What learns: the paper's freeze lists, LoRA in place of whole weights, the optimiser, one module around it all."""

from __future__ import annotations

import re

import torch
from diffusers.training_utils import EMAModel
from peft import LoraConfig
from torch import Tensor, nn

from humo.finetuning.settings import FinetuneSettings, paper_stage
from humo.focus import FaceMaskPredictor
from humo.layers.block import HuMoTransformerBlock
from humo.loading.memory import stays_in_float32
from humo.training.transformer.stages import trainable_names
from humo.transformer import HuMoTransformer3DModel

LORA_TARGETS = r"blocks\.\d+\.attn1\.(to_q|to_k|to_v|to_out\.0)"
"""Layers of the self-attention that LoRA is laid on; its two norms stay as they are. Ours."""
_LORA, _BASE = ".lora_", ".base_layer."
_AUDIO = ("audio_attn.", "audio_projection.", "focus_head.")


class FinetuneModel(nn.Module):
    """Transformer and focus head as one module, so that DDP and FSDP see all that learns in one forward pass.

    Args:
        transformer: of which a part learns.
        focus_head: in stage 2; None in stage 1.
    """

    _no_split_modules = [HuMoTransformerBlock.__name__]

    def __init__(self, transformer: HuMoTransformer3DModel, focus_head: FaceMaskPredictor | None) -> None:
        super().__init__()
        self.transformer, self.focus_head = transformer, focus_head

    def forward(
        self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, audio_hidden_states: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the velocity and, in stage 2, the face mask.

        Args:
            hidden_states, timestep, encoder_hidden_states, audio_hidden_states: as the transformer takes them.

        Returns:
            Velocity (b, z, f, h, w), and logits of the mask for all frames, references included (b, f, h, w), or None.
        """
        output = self.transformer(
            hidden_states, timestep, encoder_hidden_states, audio_hidden_states, return_attended=bool(self.focus_head)
        )
        velocity = output.sample.clone()  # FSDP warns of a view, on which its hook could be lost
        if self.focus_head is None:
            return velocity, None
        patch = self.transformer.config.patch_size
        grid = tuple(length // step for length, step in zip(hidden_states.shape[2:], patch, strict=True))
        return velocity, self.focus_head(output.attended, grid).clone()


def learned_names(model: FinetuneModel, settings: FinetuneSettings) -> list[str]:
    """Names of the parameters that learn, in the model's order.

    Stage 1: the self-attention. Stage 2: self-attention, audio modules, focus head. With LoRA its matrices stand for
    the self-attention. With new condition channels the patch embedding learns as well (ours).

    Source: HuMo sec. 3.2, 3.3, through `humo.training.transformer.stages.trainable_names`.
    """
    names = [name for name, _ in model.named_parameters()]
    learns = set(trainable_names(names, paper_stage(settings).learns))
    if settings.lora_rank:
        learns = {name for name in learns if _LORA in name or any(part in name for part in _AUDIO)}
    if settings.condition_channels:
        learns |= {name for name in names if "patch_embedding." in name}
    return [name for name in names if name in learns or name.startswith("focus_head.")]


def prepare_model(model: FinetuneModel, settings: FinetuneSettings) -> None:
    """Lays LoRA on, freezes what does not learn, and keeps the frozen matrices in the precision they are computed in.

    Norms, tables and the time embedding stay in float32, as at inference.
    """
    transformer = model.transformer
    if settings.lora_rank:
        config = LoraConfig(
            r=settings.lora_rank, lora_alpha=settings.lora_alpha or settings.lora_rank, target_modules=LORA_TARGETS
        )
        transformer.add_adapter(config)
    if settings.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    learns = set(learned_names(model, settings))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learns)
        is_matrix = parameter.ndim >= 2 and not stays_in_float32(transformer, name)
        if settings.mixed_precision == "bf16" and name not in learns and is_matrix:
            parameter.data = parameter.data.to(torch.bfloat16)


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that learn, by name, also of a model that DDP or FSDP wraps."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    return {name: value for name, value in inner.named_parameters() if value.requires_grad}


def make_optimizer(model: FinetuneModel, settings: FinetuneSettings) -> torch.optim.AdamW:
    """AdamW with a rate for each of three kinds: self-attention, LoRA, and modules that begin at nothing (ours)."""
    kinds: dict[float, list[nn.Parameter]] = {}
    for name, parameter in learned(model).items():
        if any(part in name for part in _AUDIO):
            rate = settings.audio_learning_rate
        else:
            rate = settings.lora_learning_rate if _LORA in name else settings.learning_rate
        kinds.setdefault(rate, []).append(parameter)
    groups = [{"params": parameters, "lr": rate, "peak": rate} for rate, parameters in kinds.items()]
    betas = settings.beta1, settings.beta2
    return torch.optim.AdamW(groups, betas=betas, weight_decay=settings.weight_decay)


def set_rates(optimizer: torch.optim.Optimizer, step: int, warmup_steps: int) -> float:
    """Sets the learning rates of a step, counted from 0: a straight rise, then constant (ours).

    Returns:
        Share of the peak, 0..1.
    """
    share = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = share * group["peak"]
    return share


def make_average(model: nn.Module, settings: FinetuneSettings) -> EMAModel | None:
    """Averaged weights of what learns; None where the setting is 0."""
    if not settings.ema_decay:
        return None
    return EMAModel(learned(model).values(), decay=settings.ema_decay, use_ema_warmup=True, power=0.75)


def plain_name(name: str) -> str:
    """Name of a transformer's parameter without what LoRA put into it."""
    return name.replace(_BASE, ".")


def is_lora(name: str) -> bool:
    """Whether a parameter belongs to LoRA."""
    return re.search(r"\.lora_[AB]\.", name) is not None
