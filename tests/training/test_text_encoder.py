"""The text encoder reads what a caption says, and to what each word belongs.

Run: pytest tests/training/test_text_encoder.py
"""

from __future__ import annotations

import pytest
import torch

from humo.checkpoints import load
from humo.training.text_encoder.model import UNKNOWN, hide_words, make_text_encoder, make_tokenizer
from humo.training.text_encoder.training import (
    OPTIONS,
    UNSAID,
    AttributeReader,
    TextEncoderSettings,
    caption_batch,
    measure_text_encoder,
    train_text_encoder,
)


def test_classes_say_what_captions_say():
    captions, classes = caption_batch(0, 60)
    assert classes.shape == (60, len(OPTIONS))
    names = list(OPTIONS)
    for caption, row in zip(captions, classes.tolist(), strict=True):
        said = dict(zip(names, row, strict=True))
        if said["garment"] != UNSAID and OPTIONS["garment"][said["garment"] - 1] == "hoodie":
            assert "hood" in caption
        if said["background"] != UNSAID and OPTIONS["background"][said["background"] - 1] == "blue":
            assert "blue" in caption
        shown = any(word in caption for word in ("balloon", "silent person", "another", "else"))
        assert (said["distractor"] != UNSAID) == shown
    for index, options in enumerate(OPTIONS.values()):
        assert classes[:, index].max() <= len(options)
    assert caption_batch(0, 60)[0] == captions != caption_batch(1, 60)[0]


@pytest.mark.slow
def test_reading_learns_and_then_stays():
    torch.manual_seed(0)
    tokenizer = make_tokenizer(num_captions=200)
    encoder = make_text_encoder(tokenizer, width=32, layers=1)
    reader = AttributeReader(32)
    settings = TextEncoderSettings(batch_size=32, steps=200, learning_rate=5e-3)
    losses = [loss for _, loss in train_text_encoder(encoder, reader, tokenizer, settings)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    figures = measure_text_encoder(encoder, reader, tokenizer, captions=50)
    assert list(figures) == list(OPTIONS) and figures["gender"] > 0.8


def test_some_words_are_hidden_but_never_the_end():
    tokens = torch.tensor([[5, 6, 7, 1, 0]])
    generator = torch.Generator().manual_seed(0)
    assert hide_words(tokens, 1.0, generator).tolist() == [[UNKNOWN, UNKNOWN, UNKNOWN, 1, 0]]
    assert torch.equal(hide_words(tokens, 0.0, generator), tokens)


def test_the_bundled_encoder_knows_whose_colour_it_is():
    """A bag of words gives "hoodie" the same features in both captions of a pair (measured on an earlier mini)."""
    pipe = load("mini", device="cpu", dtype=torch.float32)
    texts = [f"a woman in a {a} hoodie in front of a {b} background" for a, b in (("red", "blue"), ("blue", "red"))]
    tokens = pipe.tokenizer(texts, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        states = pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    change = (states[0] - states[1]).norm(dim=-1) / states[0].norm(dim=-1)
    words = tokens.input_ids[0].tolist()
    places = [words.index(word) for word in pipe.tokenizer.convert_tokens_to_ids(["hoodie", "background"])]
    assert max(change[places]) > 0.1
