"""Every value of the recipe: what the paper gives, with its place, and what it does not, marked ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from humo.training.transformer.stages import Stage

NAMES = {1: "subject preservation", 2: "audio-visual sync"}
"""The paper's names of its stages."""
RUNTIME = ("checkpoint_every", "keep_checkpoints", "log_every")
"""Settings that a resumed run may change, for no weight depends on them."""
_COUNTS = ("steps", "batch_size", "accumulation", "checkpoint_every", "keep_checkpoints", "log_every")
_SHARES = ("text_dropout", "image_dropout", "sync_image_dropout", "audio_start", "audio_end", "ema_decay")
_POSITIVE = ("learning_rate", "audio_learning_rate", "lora_learning_rate", "noise_std", "noise_shift", "max_grad_norm")
_FROM_ZERO = ("warmup_steps", "weight_decay", "focus_weight", "lora_rank", "lora_alpha", "focus_hidden_dim", "seed")
PRECISIONS = ("no", "bf16")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneSettings:
    """Settings of one stage.

    Not here because the data decides them: 25 frames a second, 480x832 pixels, 97 frames (HuMo, released configs).

    Raises:
        ValueError: if a value is out of its range.
    """

    stage: int
    """1 subject preservation, 2 audio-visual sync. Source: HuMo sec. 3.2, 3.3."""
    steps: int = 40_000
    """Optimiser steps of the stage. Source: HuMo, 40k in either stage."""
    batch_size: int = 1
    """Clips of one process at once. Ours; a clip of 97 frames at 480x832 has 39,000 tokens."""
    accumulation: int = 1
    """Batches of one process whose gradients make one step. Ours."""
    seed: int = 0
    """Order of the data, noise, noise levels, dropped conditions, and new modules. Ours."""

    audio_start: float = 0.2
    """Stage 2: share of clips that hear their sound (the sync task) at first. Source: HuMo sec. 3.3."""
    audio_end: float = 0.5
    """Stage 2: the same in the end. Source: HuMo sec. 3.3."""
    audio_ramp: float = 0.5
    """Part of stage 2 over which the share rises in a straight line. Ours; the paper says gradually."""
    focus_weight: float = 0.05
    """Stage 2: weight of the focus loss (eq. 3) beside the flow matching loss. Ours, as in mini's training."""
    focus_on_silent: bool = True
    """Stage 2: whether clips that do not hear their sound count in the focus loss as well. Ours."""
    focus_hidden_dim: int = 256
    """Width of the focus head's hidden layer; 0 for a linear one. Ours; the paper publishes no layers."""

    text_dropout: float = 0.1
    """Share of clips that read the empty caption, so that guidance has its null. Ours."""
    image_dropout: float = 0.1
    """Share of clips without sound that see no reference. Ours."""
    sync_image_dropout: float = 0.3
    """The same of clips that hear their sound; higher, for text and sound without a picture is a mode (TA). Ours."""
    noise_mean: float = 0.0
    """Noise levels are logit-normal: the mean of the logit. Source: released configs."""
    noise_std: float = 1.0
    """The logit's standard deviation. Source: released configs."""
    noise_shift: float = 1.0
    """Shift of the noise levels towards noise; 1 for none. Ours; the configs shift sampling (5) but not training."""

    learning_rate: float = 1e-5
    """Rate of the self-attention. Ours."""
    audio_learning_rate: float = 5e-5
    """Rate of audio modules and focus head, which begin at nothing. Ours."""
    lora_learning_rate: float = 1e-4
    """Rate of the self-attention where it learns through LoRA. Ours."""
    warmup_steps: int = 1000
    """Steps over which the rates rise in a straight line; they stay constant afterwards. Ours."""
    weight_decay: float = 0.01
    """Of AdamW. Ours."""
    beta1: float = 0.9
    """Of AdamW. Ours."""
    beta2: float = 0.999
    """Of AdamW. Ours."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this norm. Ours."""
    ema_decay: float = 0.9999
    """Largest decay of the averaged weights, which are the ones exported; 0 for no average. Ours (the released 1.7B
    file is called ema.pth, without a figure)."""

    lora_rank: int = 0
    """Rank of LoRA on the self-attention; 0 trains it whole, as the paper does. Audio modules are trained whole either
    way. Ours."""
    lora_alpha: int = 0
    """Scale of LoRA, alpha; 0 for the rank. Ours."""
    condition_channels: bool = False
    """Begin the 17B's input form (36 channels) from a Wan of 16. The new channels begin at zero, so the patch embedding
    learns too, which the paper's list does not say. Ours."""

    mixed_precision: str = "bf16"
    """"bf16": the network computes in bfloat16 and what is frozen is kept in it, what learns stays float32; "no": all
    in float32. Ours."""
    gradient_checkpointing: bool = True
    """Compute a block's states twice instead of keeping them. Ours."""
    checkpoint_every: int = 500
    """Steps between saved states. Ours."""
    keep_checkpoints: int = 3
    """Saved states that are kept, the last ones. Ours."""
    log_every: int = 10
    """Steps between lines of the log. Ours."""

    def __post_init__(self) -> None:
        if self.stage not in NAMES:
            known = ", ".join(f"{number} ({name})" for number, name in NAMES.items())
            raise ValueError(f"stage is {self.stage!r} but there are {known}: give one of them.")
        _check(self, _COUNTS, lambda value: value >= 1, "1 or more")
        _check(self, _SHARES, lambda value: 0 <= value <= 1, "between 0 and 1")
        _check(self, _POSITIVE, lambda value: value > 0, "above 0")
        _check(self, _FROM_ZERO, lambda value: value >= 0, "0 or more")
        _check(self, ("audio_ramp",), lambda value: 0 < value <= 1, "above 0 and at most 1")
        _check(self, ("beta1", "beta2"), lambda value: 0 <= value < 1, "at least 0 and below 1")
        if self.mixed_precision not in PRECISIONS:
            raise ValueError(f"mixed_precision is {self.mixed_precision!r}: use {' or '.join(PRECISIONS)}.")

    @property
    def has_focus(self) -> bool:
        """Whether the focus head learns: in stage 2 alone."""
        return self.stage == 2

    def describe(self) -> dict[str, Any]:
        """The settings as plain data."""
        return asdict(self)


def paper_stage(settings: FinetuneSettings) -> Stage:
    """The stage in the terms of `humo.training.transformer.stages`, from which curriculum and freeze list are taken.

    Source: HuMo sec. 3.2 (self-attention alone, no sound) and 3.3 (self-attention and audio modules, 20 % to 50 %).
    """
    is_sync = settings.stage == 2
    return Stage(
        name=NAMES[settings.stage],
        end=1.0,
        learns="self_attention+audio" if is_sync else "self_attention",
        image_share=1 - settings.image_dropout,
        audio_start=settings.audio_start if is_sync else 0.0,
        audio_end=settings.audio_end if is_sync else 0.0,
        ramp=settings.audio_ramp,
        focus=settings.has_focus,
    )


def with_changes(settings: FinetuneSettings, changes: Sequence[str]) -> FinetuneSettings:
    """Settings with values given as text.

    Args:
        settings: to begin with.
        changes: each `name=value`, as in "ema_decay=0.999".

    Raises:
        ValueError: if a name is unknown, a value does not read as the setting's kind, or is out of its range.
    """
    values: dict[str, Any] = {}
    known = {field.name: getattr(settings, field.name) for field in fields(settings)}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--set {change!r} names no setting: give name=value, where name is {', '.join(known)}.")
        values[name] = _read(name, text, type(known[name]))
    return replace(settings, **values)


def _read(name: str, text: str, kind: type) -> Any:
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ValueError(f"--set {name}={text} is wrong: {name} is {wanted}.") from None


def _check(settings: FinetuneSettings, names: Sequence[str], is_allowed: Any, allowed: str) -> None:
    for name in names:
        if not is_allowed(value := getattr(settings, name)):
            raise ValueError(f"{name} is {value} but must be {allowed}.")
