"""Keys and values of text and sound, which stay the same over all steps of a generation and need computing once.

The network asks its text and its sound by cross-attention in every block and at every step, but neither changes
between steps. A `KeyValueMemory` is filled by the first pass and read by the others, which then project no text, no
sound and none of their keys and values: the results are the same numbers. For mini this is an eighth of the matrix
products of a pass, for the published sizes a few hundredths. They take room (`token_bytes`): for the 17B model with 97
frames 1.5 GB. Nothing is kept where the model's blocks come to the device in turn, for there memory is what is short,
and elsewhere only what fits beside the model. All of this file is ours.
"""

# b batch, n tokens of the video, m tokens that are attended to, d channels

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor, nn

from humo.guidance import Branch

MAX_BYTES, MAX_SHARE = 2**31, 1 / 8
"""Of one generation's keys and values, and of the GPU's memory that the model leaves free; what is beyond is computed
anew at each step."""


class KeyValueAttnProcessor(WanAttnProcessor):
    """Wan's cross-attention, which may be given keys and values in place of what they are made of."""

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        rotary_emb: None = None,
    ) -> Tensor:
        """Attend.

        Args:
            attn: the layer.
            hidden_states: (b, n, d).
            encoder_hidden_states: states of a condition, (b, m, c), or from `key_values`.
            attention_mask: True for what may be seen, fits (b, heads, n, m).
            rotary_emb: none, for text and sound have no place in the video.

        Returns:
            (b, n, d).
        """
        if encoder_hidden_states.ndim == 3:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key, value = encoder_hidden_states
        attended = dispatch_attention_fn(query, key, value, attn_mask=attention_mask, backend=self._attention_backend)
        attended = attn.to_out[0](attended.flatten(2, 3).type_as(query))
        return attn.to_out[1](attended)


def key_values(attn: WanAttention, states: Tensor) -> Tensor:
    """What a cross-attention layer makes of the states that it attends to.

    Args:
        attn: the layer.
        states: (b, m, c), or the result for them.

    Returns:
        Keys, normalised, and values in one tensor, for diffusers' hooks expect tensors, (2, b, m, heads, head_dim);
        the states as they are where somebody's own processor wants them so.
    """
    if states.ndim != 3 or not isinstance(attn.processor, KeyValueAttnProcessor):
        return states
    if attn.fused_projections:
        key, value = attn.to_kv(states).chunk(2, dim=-1)
    else:
        key, value = attn.to_k(states), attn.to_v(states)
    return torch.stack([attn.norm_k(key), value]).unflatten(3, (attn.heads, -1))


def token_bytes(config: Mapping[str, Any], itemsize: int = 2) -> int:
    """Bytes of the keys and values of one token of a text or a sound, over all blocks.

    Args:
        config: the transformer's.
        itemsize: bytes of a number.
    """
    return 2 * itemsize * int(config["num_layers"] * config["num_attention_heads"] * config["attention_head_dim"])


@dataclass
class KeyValueMemory:
    """Keys and values of one text and one sound, by block; a pass fills the lists that it finds empty."""

    text: list[Tensor] = field(default_factory=list)
    audio: list[Tensor] = field(default_factory=list)
    has_room: bool = True
    """Whether there is room for what is not there yet."""

    @property
    def is_full(self) -> bool:
        """Whether nothing is left to be computed."""
        return bool(self.text and self.audio)

    @property
    def is_filling(self) -> bool:
        """Whether a pass is to fill it."""
        return self.has_room and not self.is_full

    def fill(self, text: list[Tensor], audio: list[Tensor]) -> None:
        """Keep what a pass has read, by block."""
        self.text[:], self.audio[:] = text, audio


class CompiledPass(Protocol):
    """A pass as compiled code, from keys and values that are there already; `humo.loading.compiling` makes them."""

    def fits(self, hidden_states: Tensor, timestep: Tensor, guidance: Tensor | None) -> bool:
        """Whether it was made for these, and for the weights as they are now."""

    def __call__(
        self, hidden_states: Tensor, timestep: Tensor, memory: KeyValueMemory, guidance: Tensor | None
    ) -> Tensor:
        """The velocity, as `humo.transformer.HuMoTransformer3DModel.forward` takes and gives it; the memory is full."""


class ConditionMemory:
    """The memories of one generation, by what its passes show: branches with the same text share that text's."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """Remember nothing yet.

        Args:
            max_bytes: most that is kept; what would go beyond is not begun.
        """
        self.max_bytes = max_bytes
        self._text: dict[tuple[bool, ...], list[Tensor]] = {}
        self._audio: dict[tuple[str, tuple[bool, ...]], list[Tensor]] = {}

    @classmethod
    def beside(cls, transformer: nn.Module, device: torch.device) -> ConditionMemory:
        """A memory as large as a device has room for beside a transformer.

        Args:
            transformer: which may be on the CPU yet, under offloading.
            device: where it computes.
        """
        if _is_group_offload_enabled(transformer):
            return cls(max_bytes=0)
        if device.type != "cuda":
            return cls()
        return cls(room_beside(transformer, device, torch.cuda.mem_get_info(device)[0]))

    def of(self, branches: Sequence[Branch], place: str, text_bytes: int, audio_bytes: int) -> KeyValueMemory | None:
        """The memory for a pass; None if nothing is known and there is no room.

        Args:
            branches: that the pass runs as one batch.
            place: which window of the video it sees.
            text_bytes: that the keys and values of its texts take.
            audio_bytes: that those of its sounds take.
        """
        read, heard = tuple(branch.text for branch in branches), (place, tuple(branch.audio for branch in branches))
        memory = KeyValueMemory(self._text.get(read, []), self._audio.get(heard, []))
        coming = (0 if memory.text else text_bytes) + (0 if memory.audio else audio_bytes)
        memory.has_room = self.nbytes + coming <= self.max_bytes
        if memory.has_room:
            self._text[read], self._audio[heard] = memory.text, memory.audio
        return memory if memory.has_room or memory.text or memory.audio else None

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        kept = (*self._text.values(), *self._audio.values())
        return sum(part.nbytes for states in kept for part in states)


def room_beside(transformer: nn.Module, device: torch.device, free: int) -> int:
    """Bytes that a device has for keys and values once all of a transformer is there.

    Args:
        transformer: some or all of whose weights may still be elsewhere.
        device: where it computes.
        free: bytes that are free there now.
    """
    coming = sum(weight.nbytes for weight in transformer.parameters() if weight.device.type != device.type)
    return max(0, min(MAX_BYTES, int((free - coming) * MAX_SHARE)))
