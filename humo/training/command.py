"""`python -m humo train codec | hearing | reading | data | model | start | publish | card`: the way to mini."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

train = typer.Typer(
    no_args_is_help=True, help="Train the mini model from nothing: codec, hearing, reading, data, model."
)

Folder = Annotated[Path, typer.Option(help="Folder of the whole training; each step keeps its own part in it.")]
Threads = Annotated[int, typer.Option(help="CPU threads; two trainings side by side run best with one each.")]


@train.command()
def codec(out: Folder = Path("runs/mini"), steps: int = 6000, threads: Threads = 2, save_every: int = 100) -> None:
    """Fits the codec's principal components and trains its decoder."""
    from humo.codec import HuMoVideoCodec
    from humo.training.codec import CodecSettings, fit_components
    from humo.training.codec_loop import train_codec

    def begin() -> HuMoVideoCodec:
        model = HuMoVideoCodec()
        fit_components(model, settings)
        return model

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings = CodecSettings(steps=steps)
    train_codec(begin, out / "codec", settings, save_every)


@train.command()
def data(out: Folder = Path("runs/mini"), clips: int = 16_000, workers: int = 2) -> None:
    """Renders and encodes the training clips, in shards of 500; the model may train on the first ones meanwhile."""
    from humo.training.data import DataSettings, write_shards

    settings = DataSettings(num_clips=clips)
    total = clips // settings.clips_per_shard
    for index, path in enumerate(write_shards(out / "data", settings, out / "codec", workers)):
        typer.echo(f"{index + 1}/{total} {path.name}", err=True)


@train.command()
def hearing(out: Folder = Path("runs/mini"), steps: int = 1500, threads: Threads = 2) -> None:
    """Trains the audio encoder to read mouth shapes from speech; a matter of minutes."""
    from humo.training.hearing import HearingSettings, MouthReader, make_audio_encoder, measure_hearing, train_hearing
    from humo.training.run import Run

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings = HearingSettings(steps=steps)
    run = Run(out / "hearing", steps)
    extractor, encoder = make_audio_encoder(settings)
    reader = MouthReader(settings.width)
    for step, loss in train_hearing(encoder, reader, settings):
        if step % 20 == 0:
            run.log(step, loss=loss)
    run.log(steps, **measure_hearing(encoder, reader, settings))
    encoder.save_pretrained(run.folder / "audio_encoder")
    extractor.save_pretrained(run.folder / "feature_extractor")


@train.command()
def reading(out: Folder = Path("runs/mini"), steps: int = 800, threads: Threads = 2) -> None:
    """Trains the text encoder to read from a caption what it says; a matter of minutes."""
    from humo.training.reading import AttributeReader, ReadingSettings, measure_reading, train_reading
    from humo.training.run import Run
    from humo.training.text import make_text_encoder, make_tokenizer

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run = Run(out / "reading", steps)
    tokenizer = make_tokenizer()
    encoder = make_text_encoder(tokenizer)
    reader = AttributeReader(encoder.config.d_model)
    for step, loss in train_reading(encoder, reader, tokenizer, ReadingSettings(steps=steps)):
        if step % 20 == 0:
            run.log(step, loss=loss)
    run.log(steps, **measure_reading(encoder, reader, tokenizer))
    encoder.save_pretrained(run.folder / "text_encoder")
    tokenizer.save_pretrained(run.folder / "tokenizer")


@train.command()
def model(
    out: Folder = Path("runs/mini"),
    steps: int = 6000,
    threads: Threads = 2,
    device: str = "cpu",
    audio_share: Annotated[float, typer.Option(help="Share of the sync task at the end; 0.5 in the paper.")] = 0.5,
    layers: int = 6,
    save_every: int = 200,
    sheet_every: int = 600,
) -> None:
    """Trains transformer and focus head through the stages; writes a pipeline folder at the end."""
    from humo.training.loop import train_model

    torch.set_num_threads(threads)
    train_model(out, steps, device, audio_share, layers, save_every, sheet_every)


@train.command()
def refine(
    out: Folder = Path("runs/mini"),
    clips: int = 1600,
    steps: int = 1200,
    threads: Threads = 2,
    save_every: int = 100,
    critic: Annotated[
        float,
        typer.Option(help="Gradient from a critic of blurred edges, 1: as much as all other; 0: no critic.", min=0.0),
    ] = 0.0,
) -> None:
    """Teaches the decoder to draw cleanly from what the transformer makes, and gives it to the trained pipeline."""
    from humo.checkpoints import load
    from humo.training.codec_loop import train_codec
    from humo.training.data import ClipData
    from humo.training.loop import load_hearing
    from humo.training.refining import CODEC, RefiningSettings, measure_redrawn, refining_batch, write_redrawn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if not (out / "pipeline").exists():
        raise ValueError(f"{out} has no pipeline: run `python -m humo train model` or `train start` first.")
    pipe, folder, settings = load(out / "pipeline", "cpu", torch.float32), out / "refining", RefiningSettings()
    data = ClipData(out / "data", *load_hearing(out))
    for index, path in enumerate(write_redrawn(pipe, data, folder, clips, settings)):
        typer.echo(f"{index + 1} {path.name}", err=True)
    draw = partial(refining_batch, folder=folder, own_share=settings.own_share)
    refining = replace(CODEC, steps=steps, critic=critic)
    measure = partial(measure_redrawn, folder=folder)
    refined = train_codec(lambda: pipe.vae, folder, refining, save_every, draw, measure)
    refined.save_pretrained(out / "pipeline" / "vae")


@train.command()
def start(
    out: Folder = Path("runs/mini"),
    model_folder: Annotated[Path, typer.Option("--model")] = Path("assets/humo-mini"),
) -> None:
    """Lays a finished model out as a training, so that the steps above go on from it."""
    from humo.training.start import start_from

    steps = start_from(model_folder, out)
    typer.echo(f"{out}: codec at step {steps['codec']}, model at step {steps['model']}; ask both for more --steps.")


@train.command()
def publish(out: Folder = Path("runs/mini"), to: Path = Path("assets/humo-mini")) -> None:
    """Writes the trained pipeline as the bundled model: bfloat16, small shards, a card."""
    from humo.training.publish import publish as publish_training

    typer.echo(str(publish_training(out, to)))


@train.command()
def card(
    model_folder: Annotated[Path, typer.Option("--model")] = Path("assets/humo-mini"), report: Path | None = None
) -> None:
    """Writes the model card anew, with the figures of `python -m humo evaluate --out REPORT`."""
    from humo.training.publish import write_card

    typer.echo(str(write_card(model_folder, report)))
