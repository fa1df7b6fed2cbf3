"""Files that are given in place of a model's parts: found, loaded, and held against the rest. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from humo.loading.published.keys import form_of
from humo.loading.published.parts import check_channels
from humo.loading.published.shards import place_of
from humo.loading.single_file.parts import (
    load_codec_file,
    load_text_encoder_file,
    load_transformer_file,
    open_transformer,
)

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline


def given_files(model: str | Path, **files: str | Path | None) -> dict[str, Path]:
    """The files of a call, by part.

    Args:
        model: what is to be loaded; where it is a file, it is that of the transformer.
        **files: by part, None for those of the model.

    Raises:
        ValueError: if a file is not there, or two are given for the transformer.
    """
    given = {part: Path(file) for part, file in files.items() if file is not None}
    if Path(model).is_file():
        if "transformer" in given:
            raise ValueError(
                f"Two transformers are given, {place_of(Path(model))} and {place_of(given['transformer'])}: give one."
            )
        given["transformer"] = Path(model)
    for part, file in given.items():
        if not file.is_file():
            raise ValueError(f"There is no file {str(file)!r} for {part}: give the path of one.")
    return given


def form_of_file(file: Path) -> str:
    """Which published model a transformer's file is of, "1.7B" or "17B", by its shapes.

    Raises:
        ValueError: if it is no transformer of HuMo's.
    """
    return form_of(open_transformer(file)[0])


def load_files(files: Mapping[str, Path], dtype: torch.dtype) -> dict[str, Any]:
    """Load the parts that are given as files.

    Args:
        files: by part: "transformer", "text_encoder", "vae".
        dtype: in which transformer and text encoder compute.

    Returns:
        The loaded parts by name.

    Raises:
        ValueError: if a file is not what it is given as.
    """
    parts: dict[str, Any] = {}
    for part, file in files.items():
        if part == "transformer":
            parts[part] = load_transformer_file(file, dtype=dtype)
        elif part == "text_encoder":
            parts[part] = load_text_encoder_file(file, dtype)
        else:
            parts[part] = load_codec_file(file)
    return parts


def check_parts_fit(pipeline: HuMoPipeline) -> None:
    """Refuse parts of different origin that do not fit one another.

    Raises:
        ValueError: if one has other channels than the transformer takes, or the rest is that of the other form.
    """
    text, codec, audio = pipeline.text_encoder, pipeline.vae, pipeline.audio_encoder
    check_channels(pipeline.transformer.config, text.config.d_model, codec.config.z_dim, audio.config.d_model)
    rule = str((pipeline.config.default_guidance or {}).get("rule", ""))
    form = form_of(pipeline.transformer.config)
    if rule.startswith("published_") and form and rule != f"published_{form.lower().replace('.', '_')}":
        raise ValueError(
            f"The transformer is of the {form} form but the parts around it are set up for the other: give those of "
            f"the {form}."
        )
