"""From a training's folder to the bundled model: bfloat16 weights in small shards, and a card whose figures come from
commands: the training's own log and the report of `python -m humo evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from humo.checkpoints import load
from humo.evaluation.report import FIGURES
from humo.evaluation.seeds import cases_in_words, figure_cell
from humo.evaluation.voices.report import SECTION, kept_voices, voice_table
from humo.system.files import write_json, write_text
from humo.system.tables import markdown_table
from humo.training.run import NOT_RECORDED, Run

SHARD = "15MB"
"""Largest weights file, so that the repository stays easy to clone."""

_HEAD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
tags: [humo, talking-head, audio-driven, compact]
---
# HuMo mini

A talking drawn person from text, a reference picture and a voice, in any mix. Made from nothing on a procedural world
of drawn people (`humo/world`): it has never seen a photograph or heard a human voice, and cannot imitate a real person.
It makes 128x128 pixels at 25 frames a second, was trained on clips of up to 49 frames, and makes longer ones, up to ten
seconds, with overlapping windows.

This page is written by `python -m humo train card`; nothing in it is typed by hand.
"""


def publish_pipeline(source: Path, target: Path) -> dict[str, int]:
    """Writes a pipeline in bfloat16 and in shards below 16 MiB.

    Args:
        source: pipeline folder of a training.
        target: gets the pipeline's parts; what else is there stays (the fast form, which belongs to the transformer
            that it was distilled from).

    Returns:
        Parameters of each part.
    """
    pipe = load(source, dtype=torch.float32)
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    for name, module in modules.items():
        shutil.rmtree(target / name, ignore_errors=True)
        module.to(torch.bfloat16)
    pipe.save_pretrained(target, max_shard_size=SHARD)
    for config in [target / "model_index.json", *(target / name / "config.json" for name in modules)]:
        _drop_source_paths(config)
    return {name: sum(parameter.numel() for parameter in module.parameters()) for name, module in modules.items()}


def _drop_source_paths(path: Path) -> None:
    """transformers and diffusers note where a model was loaded from; that folder is nobody's business."""
    config = json.loads(path.read_text())
    kept = {name: value for name, value in config.items() if name not in ("_name_or_path", "name_or_path")}
    write_json(path, kept, sort_keys=True)


def training_record(out: Path) -> dict[str, Any]:
    """Steps, hours, machines and last figures of each part of a training, from its logs.

    Pauses of more than five minutes between two lines of a log do not count as training time; hours, figures and clips
    of a training that this one started from (`humo.training.transformer.start`) do.
    """
    parts, clips = {}, 0
    for part in ("autoencoder", "audio_encoder", "text_encoder", "transformer", "decoder", "voices"):
        path = out / part / "log.jsonl"
        if path.exists():
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            gaps = [b["time"] - a["time"] for a, b in zip(lines, lines[1:], strict=False)]
            figures: dict[str, float] = {}
            for line in lines:
                figures |= line
            clips = max(clips, *(int(figures.pop(name, 0)) for name in ("earlier_clips", "clips")))
            hours = figures.pop("earlier_hours", 0.0) + sum(gap for gap in gaps if 0 < gap < 300) / 3600
            machines = Run(out / part, 0).machines() or {"0": NOT_RECORDED}
            rest = {name: value for name, value in figures.items() if name != "time"}
            parts[part] = {"machines": machines, "hours": round(hours, 2), **rest}
    return {"clips": clips or _count_clips(out / "data"), "parts": parts}


def _count_clips(folder: Path) -> int:
    """Of logs that do not tell."""
    count = 0
    for path in folder.glob("clips-*.safetensors"):
        with safe_open(path, "pt") as shard:
            count += shard.get_slice("seeds").get_shape()[0]
    return count


def write_card(folder: Path, report_folder: Path | None) -> Path:
    """Writes the model card from `training.json` in the folder and the report of an evaluation.

    Args:
        folder: of the published pipeline.
        report_folder: of `python -m humo evaluate`; its report.json and contact sheets are copied, figures of voices
            alone beside what the card has; None keeps those that are there.

    Returns:
        Path of the card.
    """
    if report_folder is not None:
        report = json.loads((report_folder / "report.json").read_text())
        if "modes" in report:
            report = kept_voices(folder, report["settings"].get("model", "")) | report
        elif (folder / "report.json").exists():
            report = json.loads((folder / "report.json").read_text()) | report
        write_json(folder / "report.json", report)
        for path in sorted(report_folder.glob("*.webp")):
            shutil.copy(path, folder / path.name)
    record = json.loads((folder / "training.json").read_text())
    parts = [_HEAD, "\n## Training\n", _training_text(record)]
    if (folder / "report.json").exists():
        report = json.loads((folder / "report.json").read_text())
        if "modes" in report:
            parts += ["\n## Measured on people, captions and sentences never seen in training\n", _figures_text(report)]
        if SECTION in report:
            parts += ["\n## Measured on recordings of people\n", voice_table(report[SECTION])]
    for sheet in sorted(folder.glob("*.webp")):
        parts.append(f"\n### {sheet.stem}\n\n![Reference, frames and mouth curves of held-out cases]({sheet.name})\n")
    card = folder / "README.md"
    write_text(card, "\n".join(parts))
    return card


def _training_text(record: dict[str, Any]) -> str:
    rows = []
    sizes = record.get("parameters", {})
    names = {
        "autoencoder": ("vae",), "audio_encoder": ("audio_encoder",), "text_encoder": ("text_encoder",),
        "transformer": ("transformer", "focus_head"), "decoder": ("vae",), "voices": ("audio_encoder",),
    }  # fmt: skip
    for part, figures in record["parts"].items():
        millions = sum(sizes.get(name, 0) for name in names[part]) / 1e6
        rest = ", ".join(f"{k} {v:g}" for k, v in figures.items() if k not in ("machines", "hours", "step"))
        first, *later = figures["machines"].items()
        machines = "; ".join([first[1], *(f"from step {step} on {name}" for step, name in later)])
        rows.append((part, f"{millions:.1f} M", figures["step"], figures["hours"], machines, rest))
    head = ("part", "parameters", "steps", "hours", "machine", "last figures")
    return f"Trained on {record['clips']} rendered clips.\n\n{markdown_table(head, rows)}\n"


def _figures_text(report: dict[str, Any]) -> str:
    modes = report["modes"]
    rows = (
        (title, *cells, meaning)
        for title, name, meaning in FIGURES
        if any(cells := [figure_cell(report, mode, name) for mode in modes])
    )
    masks = ", ".join(f"{timestep}: {value:.2f}" for timestep, value in report["mask_iou"].items())
    distances = ", ".join(f"{name}: {value:.2f}" for name, value in report["frechet"].items())
    parts = [
        cases_in_words(report),
        f"Overlap (IoU) of the predicted with the true face mask, by timestep: {masks}.",
        f"Frechet distance of the probes' features to other real clips (renders: real against real): {distances}.",
    ]
    return "\n\n".join([markdown_table(("", *modes, ""), rows), *parts]) + "\n"


def publish(out: Path, target: Path) -> Path:
    """Publishes a training's pipeline with its record; the card follows from `write_card`.

    Report and sheets of the weights before are removed: evaluate these, then write the card with their report.

    Raises:
        ValueError: if the training has not written a pipeline yet.
    """
    if not (out / "pipeline" / "model_index.json").exists():
        raise ValueError(f"{out} has no pipeline yet: run `python -m humo train transformer` first.")
    target.mkdir(parents=True, exist_ok=True)
    for old in [target / "report.json", *target.glob("*.webp")]:
        old.unlink(missing_ok=True)
    record = training_record(out)
    record["parameters"] = publish_pipeline(out / "pipeline", target)
    write_json(target / "training.json", record)
    return write_card(target, None)
