"""Made the files beside it, in checkouts of the commits after which their folders are named: see README.md.

Its imports are those of these commits; nothing of today runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import soundfile
import tiny
import torch
from safetensors.torch import load_file, save_file

PROMPT = "a woman with red hair talks"
GUIDANCE = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.0, 3.0, 1.0], "switch": 900.0}


def fill(tensors: dict[str, torch.Tensor]) -> None:
    """Give weights values that an archive holds in a few bytes, and bfloat16 holds exactly."""
    for place, (name, value) in enumerate(tensors.items()):
        numbers = (torch.arange(value.numel()) * 7 + place) % 31 - 15
        is_scale = value.ndim == 1 and name.endswith("weight")
        value.data.copy_((numbers / 64 + is_scale).view_as(value))


def pack(folder: Path, file: Path) -> None:
    """Write a folder as an archive, links followed, without locks."""
    with tarfile.open(file, "w:xz", dereference=True) as archive:
        archive.add(folder, ".", filter=lambda entry: None if entry.name.endswith(".lock") else entry)


def first_pass(folder: Path, fast: bool = False, **size: int) -> list:
    """Pixels of a video that a saved model makes, (frames, rows, columns, 3), some of each."""
    import humo

    pipe = humo.load(folder, device="cpu", **({"fast": True} if fast else {}))
    given = dict(image=tiny.picture(), audio=tiny.voice(0.2), num_inference_steps=2, seed=7)
    frames = pipe(PROMPT, **given, **size).frames
    return frames[::2, 5::11, 5::11].tolist()


def save_model(folder: Path) -> torch.nn.Module:
    """Save a small pipeline of mini's form; its transformer."""
    from humo.focus import FaceMaskPredictor
    from humo.pipeline import HuMoPipeline
    from humo.sampling import make_scheduler

    config = dict(num_layers=1, num_attention_heads=1, attention_head_dim=12, ffn_dim=16, latent_std=tiny.LATENT_STD)
    parts = dict(
        tokenizer=tiny.tokenizer(),
        text_encoder=tiny.text_encoder(),
        feature_extractor=tiny.feature_extractor(),
        audio_encoder=tiny.audio_encoder(),
        scheduler=make_scheduler(),
        vae=tiny.codec(),
        focus_head=FaceMaskPredictor(12, num_blocks=1),
        transformer=tiny.transformer(**config),
    )
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            fill(dict(part.named_parameters()))
    frames = dict(default_num_frames=9, default_num_inference_steps=2, default_height=64, default_width=64)
    HuMoPipeline(
        **parts, **frames, default_guidance=GUIDANCE, max_sequence_length=12, batch_branches=True
    ).save_pretrained(folder)
    return parts["transformer"]


def write_published(folder: Path) -> None:
    """The published layout of the 1.7B, for `python -m humo convert`."""
    import layout

    weights = layout.write(folder, "1.7B")
    for file in weights.rglob("*.safetensors"):
        tensors = load_file(file)
        fill(tensors)
        save_file(tensors, file, {"format": "pt"})
    checkpoint = weights / layout.CHECKPOINT["1.7B"]
    tensors = torch.load(checkpoint, weights_only=True)
    fill(tensors)
    torch.save(tensors, checkpoint)


def add_fast_form(folder: Path, transformer: torch.nn.Module) -> None:
    """A fast form beside a saved model."""
    from humo.distillation.student import learned, make_student, save_student
    from humo.fast_config import FastConfig, teacher_of

    weights = learned(make_student(transformer, 1))
    fill(weights)
    save_student(
        weights, FastConfig(rank=1, num_inference_steps=3, shift=6.0, teacher=teacher_of(folder)), folder / "fast"
    )


def share_record(out: Path, work: Path, **inputs: object) -> None:
    """A link's record by the bundled model; prints its id and the key that deletes it."""
    from humo.space.making import MakeVideo
    from humo.space.request import VideoRequest
    from humo.space.share import fingerprint_folder, share
    from humo.space.store import FolderStore

    import humo
    from humo.checkpoints import MINI

    request = VideoRequest(**inputs, num_inference_steps=3, guidance=GUIDANCE)
    result = MakeVideo(request, work / "film.mp4").run(humo.load("mini", device="cpu"), lambda state: None)
    record, key = share(FolderStore(out), result, request, fingerprint_folder(MINI), keep_inputs="audio" in inputs)
    print(record.id, key)


def fill_gallery(out: Path, work: Path) -> None:
    """The gallery of one short example."""
    from humo.space.gallery import write_gallery
    from humo.space.share import fingerprint_folder

    import humo
    from humo.checkpoints import MINI
    from humo.space.examples import FOLDER, Example

    given = dict(prompt=PROMPT, image=FOLDER / "woman.png", audio=work / "voice.wav", seed=3)
    example = Example(mode="TIA", title="She says one sound", **given)
    list(write_gallery(humo.load("mini", device="cpu"), fingerprint_folder(MINI), out, [example]))


def humo_command(*words: object) -> None:
    """Run `python -m humo`."""
    subprocess.run([sys.executable, "-m", "humo", *map(str, words)], check=True)


def make_ab05ed5(out: Path, work: Path) -> None:
    """A video with settings inside, a saved model, a converted one."""
    voice, scales = ("--audio", work / "voice.wav"), ("--text-scale", 2.5, "--image-scale", 2, "--audio-scale", 3)
    asked = ("--steps", 3, "--seed", 10, "--guidance", "paper", *scales, "--switch", 900)
    humo_command("generate", "--prompt", "a man with a beard talks", *voice, *asked, "--out", out / "video.mp4")
    save_model(work / "model")
    write_published(work)
    humo_command("convert", "--preset", "1.7B", "--source", work / "weights", "--out", work / "converted")
    pixels = {"model": first_pass(work / "model"), "converted": first_pass(work / "converted", height=64, width=64)}
    (out / "pixels.json").write_text(json.dumps(pixels))
    pack(work / "model", out / "model.tar.xz")
    pack(work / "converted", out / "converted.tar.xz")


def make_5864a2d(out: Path, work: Path) -> None:
    """A link with a picture and a voice, a gallery, a saved model with its fast form, shots that it made."""
    examples = Path("assets/examples")
    said = "a woman with black hair, in a green shirt, talks"
    given = dict(prompt=said, images=(examples / "woman.png",), audio=work / "voice.wav", seed=11)
    share_record(out / "records", work, **given)
    fill_gallery(out / "gallery", work)
    add_fast_form(work / "model", save_model(work / "model"))
    pixels = {"model": first_pass(work / "model"), "fast": first_pass(work / "model", fast=True)}
    (out / "pixels.json").write_text(json.dumps(pixels))
    pack(work / "model", out / "model.tar.xz")
    asked = ("--frames", 5, "--height", 32, "--width", 32, "--steps", 2, "--seed", 5, "--out", work / "shots.mp4")
    given = ("--preset", work / "model", "--prompt", PROMPT, "--audio", work / "tone.wav")
    humo_command("generate", *given, *asked, "--shots", out / "shots")


def make_1329b8e(out: Path, work: Path) -> None:
    """A link with a drawn person and a text in other words."""
    from humo.portrait import Portrait

    person = Portrait(hair_style="bun", hair_colour="red", glasses="round", garment="shirt", colour="blue")
    given = dict(prompt="eine Frau mit roten Haaren nickt", images=(person,), num_frames=5, seed=12)
    share_record(out / "records", work, **given)


def main(commit: str, out: Path) -> None:
    """Make what this commit's folder holds."""
    out.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        samples, rate = soundfile.read("assets/examples/woman.wav")
        soundfile.write(work / "voice.wav", samples[: rate // 5], rate)
        soundfile.write(work / "tone.wav", *tiny.voice(0.4))
        globals()[f"make_{commit}"](out, work)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
