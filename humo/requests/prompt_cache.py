"""Features of prompts kept on disk, so that a large text encoder runs once for each text and need not stay in memory.

A prompt's features are looked up by what they depend on: the text, the number of tokens, and the encoder's
fingerprint. Whoever repeats a prompt (another seed, another size, every shot of a video) then needs no text encoder,
and `release_text_encoder` takes it out of memory altogether. Note that the texts' features stay on disk. Several
processes may share the folder: any file may be gone at any moment, deleted by another one as the longest unused. A disk
that is full or must not be written stops no generation: its features are there already.

All of this file is ours.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.system.caches import user_cache
from humo.system.digests import digest_data
from humo.system.files import atomic_write

if TYPE_CHECKING:
    from transformers import PreTrainedModel


logger = logging.getLogger(__name__)
FOLDER = user_cache() / "humo" / "prompts"
MAX_FILES = 512
"""At most 4 MiB each with the published text encoder, mostly a tenth of that."""


def encode_tokens(text_encoder: PreTrainedModel, tokens: Tensor, attention_mask: Tensor) -> Tensor:
    """Features of texts with zeros after their last token, (b, n, c), from token ids and mask, each (b, n)."""
    states = text_encoder(tokens, attention_mask=attention_mask).last_hidden_state
    return states * attention_mask[..., None].to(states.dtype)


class PromptCache:
    """Features of prompts, one file each, the ones longest unused deleted first.

    Args:
        fingerprint: of the text encoder (`humo.system.fingerprint.fingerprint_text_encoder`).
        folder: where the files are.
        max_files: most files kept, at least 1.

    Attributes:
        num_unwritten: features that could not be kept; the first time a warning says why.

    Raises:
        ValueError: if `max_files` is below 1.
    """

    def __init__(self, fingerprint: str, folder: Path = FOLDER, max_files: int = MAX_FILES) -> None:
        if max_files < 1:
            raise ValueError(f"max_files must be 1 or more but is {max_files}.")
        self.fingerprint, self.folder, self.max_files = fingerprint, folder.expanduser(), max_files
        self.num_unwritten = 0

    def features(self, text: str, length: int, encode: Callable[[], Tensor]) -> Tensor:
        """Features of a text, encoded only if they are not here yet.

        Args:
            text: the prompt.
            length: tokens that the features are padded to.
            encode: makes them, (1, length, c), zero where the text has ended.

        Returns:
            (1, length, c), equal to what `encode` returns to the bit; on the CPU if they were on disk.
        """
        path = self.path(text, length)
        kept = _read(path)
        if kept is not None:
            with suppress(OSError):
                os.utime(path)  # used just now
            return torch.nn.functional.pad(kept, (0, 0, 0, length - kept.shape[1]))
        features = encode()
        try:
            self._write(path, features)
        except (OSError, SafetensorError) as error:
            if not self.num_unwritten:
                reason = str(error).partition("\n")[0].rstrip(".")
                logger.warning("Features of prompts cannot be kept in %s (%s): all are made anew.", self.folder, reason)
            self.num_unwritten += 1
        return features

    def path(self, text: str, length: int) -> Path:
        """File of a text's features."""
        return self.folder / f"{digest_data([text, length, self.fingerprint])}.safetensors"

    def _write(self, path: Path, features: Tensor) -> None:
        """Writes whole or not at all; zeros at the end are not kept."""
        used = features[0].ne(0).any(dim=1).nonzero()
        num_tokens = 1 + int(used.max()) if len(used) else 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, f".{os.getpid()}") as temporary:
            save_file({"features": features[:, :num_tokens].cpu().contiguous()}, temporary)
        self._delete_longest_unused()

    def _delete_longest_unused(self) -> None:
        used_at = {}
        for file in self.folder.glob("*.safetensors"):
            with suppress(OSError):
                used_at[file] = file.stat().st_mtime_ns
        for file in sorted(used_at, key=used_at.__getitem__)[: max(0, len(used_at) - self.max_files)]:
            file.unlink(missing_ok=True)


def _read(path: Path) -> Tensor | None:
    """Features of a file, or None where there is none, or it cannot be read or is damaged: then they are made again."""
    try:
        return load_file(path)["features"]
    except OSError:
        return None
    except (SafetensorError, KeyError):
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def release_text_encoder(pipeline: DiffusionPipeline, prompts: Iterable[str]) -> None:
    """Encode prompts into the cache and take the text encoder out of memory.

    From then on the pipeline knows these prompts, its default negative prompt and whatever else is on disk; for any
    other it must be loaded again.

    Args:
        pipeline: with a prompt cache (`humo.loading.memory.place` gives it one).
        prompts: all that will be asked for, other negative prompts included.

    Raises:
        ValueError: if the pipeline has no prompt cache, or its folder cannot be written.
    """
    cache = pipeline.prompt_cache
    if cache is None:
        raise ValueError("The pipeline has no prompt cache: load it with a memory preset that keeps one.")
    before = cache.num_unwritten
    with torch.no_grad():
        for prompt in [*prompts, pipeline.config["default_negative_prompt"]]:
            pipeline.encode_prompt(prompt)
    if cache.num_unwritten > before:
        raise ValueError(f"Features cannot be kept in {cache.folder}, so the text encoder stays: make room there.")
    pipeline.register_modules(text_encoder=None)
    pipeline.maybe_free_model_hooks()  # the hooks of model offload hold the encoder: they are made anew without it
    gc.collect()  # a module whose forward is wrapped by a hook holds itself, and would wait for this
