"""Training of mini's text encoder: from a caption to what it says, then frozen, as umT5 is in the published model.

An encoder that learned together with the transformer stayed a bag of words (measured): "a red hoodie before a blue
wall" and "a blue hoodie before a red wall" gave the same picture. Its unscaled attention had saturated at the
transformer's learning rate, and nothing in a noisy picture asks loudly enough for the order of words. So it learns
first, in minutes: small heads, dropped afterwards, look at all of the words and say each attribute of the world, or
that it is not mentioned. Ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.text_encoder.model import hide_words
from humo.world import attributes
from humo.world.captions import compose_caption
from humo.world.clips import plan_clip

OPTIONS: dict[str, tuple[object, ...]] = {
    **attributes.OPTIONS,
    "speech": (False, True),
    "distractor": ("none", "second", "balloon"),
}
"""What can be read from a caption: values of each attribute."""
UNSAID = 0
"""Class of an attribute that the caption does not mention; the values follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEncoderSettings:
    """Settings of the text encoder's training; all ours."""

    batch_size: int = 96
    """Captions a step."""
    steps: int = 800
    """Training steps."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW."""
    distance_factor: float = 20.0
    """Rate of the position biases as a multiple: they begin at nothing, and which colour stands next to which thing is
    known from them alone."""
    hidden_words: float = 0.03
    """Share of words replaced by the unknown one."""


class AttributeReader(nn.Module):
    """Reads every attribute from the words, each with a query of its own.

    Args:
        width: channels of the text encoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(OPTIONS), width) / width**0.5)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, 1 + len(options)) for options in OPTIONS.values())

    def forward(self, states: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Logits of each attribute, (b, 1 + values), from text states (b, n, width) and their mask (b, n)."""
        queries = self.queries.expand(len(states), -1, -1)
        read, _ = self.attention(queries, states, states, key_padding_mask=attention_mask == 0, need_weights=False)
        return [head(read[:, index]) for index, head in enumerate(self.heads)]


def caption_batch(seed: int, size: int, split: str = "train") -> tuple[list[str], Tensor]:
    """Captions of clips and the class of each attribute in them, (b, attributes) int64."""
    rng = np.random.default_rng((3 if split == "train" else 4, seed))
    captions, classes = [], []
    for _ in range(size):
        plan = plan_clip(int(rng.integers(100_000)), split)
        person = plan.person if rng.random() < 0.7 else None
        caption = compose_caption(rng, person, plan.setting, bool(plan.sentence), plan.distractor)
        values = asdict(plan.person) | asdict(plan.setting)
        values |= {"speech": bool(plan.sentence), "distractor": plan.distractor}
        named = [(options, values[name], name in caption.named) for name, options in OPTIONS.items()]
        classes.append([1 + options.index(value) if is_named else UNSAID for options, value, is_named in named])
        captions.append(caption.text)
    return captions, torch.tensor(classes)


def train_text_encoder(
    encoder: UMT5EncoderModel,
    reader: AttributeReader,
    tokenizer: PreTrainedTokenizerFast,
    settings: TextEncoderSettings,
) -> Iterator[tuple[int, float]]:
    """Trains the encoder with a reader, then freezes it; yields (step, loss)."""
    parameters = [*encoder.parameters(), *reader.parameters()]
    named = list(encoder.named_parameters())
    distances = [value for name, value in named if "relative_attention_bias" in name]
    rest = [value for name, value in named if "relative_attention_bias" not in name]
    groups = [
        {"params": [*rest, *reader.parameters()], "factor": 1.0},
        {"params": distances, "factor": settings.distance_factor, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    encoder.train()
    for step in range(settings.steps):
        captions, classes = caption_batch(step, settings.batch_size)
        tokens = tokenizer(captions, padding="longest", truncation=True, return_tensors="pt")
        generator = torch.Generator().manual_seed(step)
        hidden = hide_words(tokens.input_ids, settings.hidden_words, generator)
        for group in optimizer.param_groups:
            rate = settings.learning_rate * cosine_with_warmup(step / settings.steps, 0.05, 0.02)
            group["lr"] = group["factor"] * rate
        states = encoder(hidden, attention_mask=tokens.attention_mask).last_hidden_state
        logits = reader(states, tokens.attention_mask)
        loss = torch.stack([F.cross_entropy(part, classes[:, i]) for i, part in enumerate(logits)]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        yield step + 1, loss.item()
    encoder.eval().requires_grad_(False)


@torch.no_grad()
def measure_text_encoder(
    encoder: UMT5EncoderModel, reader: AttributeReader, tokenizer: PreTrainedTokenizerFast, captions: int = 600
) -> dict[str, float]:
    """Share of the mentioned attributes that are read rightly, on held-out people and captions."""
    texts, classes = caption_batch(0, captions, "test")
    tokens = tokenizer(texts, padding="longest", truncation=True, return_tensors="pt")
    states = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    read = torch.stack([part.argmax(1) for part in reader(states, tokens.attention_mask)], dim=1)
    said = classes != UNSAID
    return {name: round(float((read == classes)[:, i][said[:, i]].float().mean()), 3) for i, name in enumerate(OPTIONS)}
