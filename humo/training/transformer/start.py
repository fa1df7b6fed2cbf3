"""A finished model laid out as a training that goes on: for machines that never saw the first one's folder. Ours."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from humo.checkpoints import load
from humo.training.run import NOT_RECORDED, Run
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer


def start_from(folder: Path, out: Path) -> dict[str, int]:
    """Lays codec, audio encoder, transformer, text encoder and focus head out in a training's folder, and the whole
    pipeline as a training leaves it.

    Weights and steps are the model's; optimisers begin anew, and weights that were published in bfloat16 stay as coarse
    as that. The clips have to be made again (`train data`), with this codec.

    Args:
        folder: of a published mini, with its training.json.
        out: folder of the training; must not hold one.

    Returns:
        Steps of the codec and of the model, after which they go on.

    Raises:
        ValueError: if the folder holds no mini with its record, or `out` holds a training already.
    """
    record_path = folder / "training.json"
    if not record_path.is_file():
        raise ValueError(f"{folder.name} has no training.json: give the folder of a model that `train publish` wrote.")
    if any((out / part).exists() for part in ("autoencoder", "audio_encoder", "text_encoder", "transformer")):
        raise ValueError(f"{out.name} holds a training already: give a new folder, or go on with that one.")
    pipe = load(folder, device="cpu", dtype=torch.float32)
    whole = json.loads(record_path.read_text())
    record = whole["parts"]
    runs = {part: Run(out / part, figures["step"]) for part, figures in record.items()}
    for part, run in runs.items():
        figures = {name: value for name, value in record[part].items() if name not in ("machines", "step", "hours")}
        for step, machine in record[part].get("machines", {"0": whole.get("device", NOT_RECORDED)}).items():
            run.note_machine(int(step), machine)
        run.log(record[part]["step"], earlier_hours=record[part]["hours"], earlier_clips=whole["clips"], **figures)

    pipe.vae.save_pretrained(runs["autoencoder"].folder)
    runs["autoencoder"].save(step=record["autoencoder"]["step"], model=pipe.vae.state_dict(), optimizer=None)
    pipe.audio_encoder.save_pretrained(runs["audio_encoder"].folder / "audio_encoder")
    pipe.feature_extractor.save_pretrained(runs["audio_encoder"].folder / "feature_extractor")
    pipe.tokenizer.save_pretrained(runs["text_encoder"].folder / "tokenizer")
    pipe.text_encoder.save_pretrained(runs["text_encoder"].folder / "text_encoder")
    trainer = Trainer(MiniModel(pipe.transformer, pipe.text_encoder, pipe.focus_head), ModelSettings())
    runs["transformer"].save(
        step=record["transformer"]["step"],
        trainer=trainer.state(),
        latent_std=list(pipe.transformer.config.latent_std),
        detail_layers=pipe.transformer.config.detail_layers,
    )
    pipe.save_pretrained(out / "pipeline")
    return {part: record[part]["step"] for part in ("autoencoder", "transformer")}
