"""Mini's tokenizer and text encoder: every word of the world's grammar, and a small UMT5.

The encoder learns before the transformer (`humo.training.text_encoder.training`). Some words are hidden in training, so
that a visitor's unknown word does no harm. The published models use umT5-xxl; this one is ours.
"""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from humo.world.captions import write_caption
from humo.world.clips import plan_clip

PAD, END, UNKNOWN = 0, 1, 2


def make_tokenizer(num_captions: int = 6000) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the words in many captions, rare ones included by the grammar's own chance."""
    rng = np.random.default_rng(0)
    splitter = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    words: set[str] = set()
    for seed in range(num_captions):
        plan = plan_clip(seed)
        for person in (plan.person, None):
            caption = write_caption(rng, person, plan.setting, bool(plan.sentence), plan.distractor, 0.95)
            words.update(word for word, _ in splitter.pre_tokenize_str(caption.lower()))
    vocabulary = {"<pad>": PAD, "</s>": END, "<unk>": UNKNOWN}
    vocabulary |= {word: index + len(vocabulary) for index, word in enumerate(sorted(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=48
    )


def make_text_encoder(tokenizer: PreTrainedTokenizerFast, width: int = 192, layers: int = 2) -> UMT5EncoderModel:
    """An untrained UMT5 encoder of the tokenizer's size."""
    config = UMT5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=width // 4, d_ff=2 * width, num_layers=layers, num_heads=4,
        dropout_rate=0.0, pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD,
    )  # fmt: skip
    return UMT5EncoderModel(config)


def hide_words(tokens: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Token ids (b, n) with a share of the words replaced by the unknown one."""
    hidden = (torch.rand(tokens.shape, generator=generator) < share) & (tokens > UNKNOWN)
    return torch.where(hidden, UNKNOWN, tokens)
