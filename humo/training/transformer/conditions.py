"""What a training's batch is told, in the form in which the sampling loop takes it."""

from __future__ import annotations

from humo.pipeline import HuMoPipeline
from humo.requests.prompt_cache import encode_tokens
from humo.sampling import Conditions
from humo.training.transformer.batches import Batch


def conditions_of(pipe: HuMoPipeline, batch: Batch) -> Conditions:
    """Captions, references and sounds of a batch, encoded by the pipeline's own text encoder.

    Args:
        pipe: of mini's form, with one reference slot.
        batch: from `draw_batch`.
    """
    tokens, mask, audio, references = (
        each.to(pipe.device) for each in (batch.tokens, batch.attention_mask, batch.audio, batch.references)
    )
    return Conditions(
        text=encode_tokens(pipe.text_encoder, tokens, mask),
        negative_text=pipe.encode_prompt("").expand(len(tokens), -1, -1),
        audio=audio,
        references=references,
        num_references=1,
    )
