"""`python -m humo train autoencoder | audio-encoder | text-encoder | data | transformer | decoder | voices | ...`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humo.assets import MINI
from humo.system.command_line import check_folder
from humo.system.compiler import NO_COMPILER, find_compiler
from humo.system.imports import require
from humo.system.threads import set_threads
from humo.timing import check_num_frames

if TYPE_CHECKING:
    from humo.layers.autoencoder import HuMoVideoCodec

train = typer.Typer(
    no_args_is_help=True,
    help="Train the mini model from nothing, in the order of these commands.",
)

Folder = Annotated[Path, typer.Option(help="Folder of the whole training; each step keeps its own part in it.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="CPU threads; two trainings side by side run best with one each.")]
ROOM = 1 << 30
"""Bytes that must be free for a training's states and clips."""
_SPEECH, _PHONES = "espeakng_loader", "pocketsphinx"


def _begin(out: Path, *modules: str, threads: int | None = None) -> None:
    """Refuse what lacks something before anything is drawn; then the same seed for every training."""
    check_folder(out, ROOM)
    require("this training", *modules)
    if threads is not None:
        import torch  # it takes seconds, and a wrong call is refused before

        set_threads(threads)
        torch.manual_seed(0)


@train.command()
def autoencoder(
    out: Folder = Path("runs/mini"), steps: int = 6000, threads: Threads = 2, save_every: int = 100
) -> None:
    """Fits the autoencoder's principal components and trains its decoder."""
    _begin(out, _SPEECH, threads=threads)
    from humo.layers.autoencoder import HuMoVideoCodec
    from humo.training.autoencoder.loop import train_autoencoder
    from humo.training.autoencoder.training import AutoencoderSettings, fit_components

    def begin() -> HuMoVideoCodec:
        model = HuMoVideoCodec()
        fit_components(model, settings)
        return model

    settings = AutoencoderSettings(steps=steps)
    train_autoencoder(begin, out / "autoencoder", settings, save_every)


@train.command()
def data(
    out: Folder = Path("runs/mini"),
    clips: int = 16_000,
    workers: int = 2,
    shard: Annotated[int, typer.Option(help="Clips a file; with many workers, small files are there sooner.")] = 500,
) -> None:
    """Renders and encodes the training clips, in shards; the model may train on the first ones meanwhile."""
    _begin(out, _SPEECH)
    from humo.training.transformer.data import DataSettings, write_shards

    settings = DataSettings(num_clips=clips, clips_per_shard=shard)
    total = clips // settings.clips_per_shard
    for index, path in enumerate(write_shards(out / "data", settings, out / "autoencoder", workers)):
        typer.echo(f"{index + 1}/{total} {path.name}", err=True)


@train.command()
def audio_encoder(out: Folder = Path("runs/mini"), steps: int = 1500, threads: Threads = 2) -> None:
    """Trains the audio encoder to read mouth shapes from speech; a matter of minutes."""
    _begin(out, _SPEECH, threads=threads)
    from humo.training.audio_encoder.training import (
        AudioEncoderSettings,
        MouthReader,
        make_audio_encoder,
        measure_audio_encoder,
        train_audio_encoder,
    )
    from humo.training.run import Run, machine_name

    settings = AudioEncoderSettings(steps=steps)
    run = Run(out / "audio_encoder", steps)
    run.note_machine(0, machine_name("cpu"))
    extractor, encoder = make_audio_encoder(settings)
    reader = MouthReader(settings.width)
    for step, loss in train_audio_encoder(encoder, reader, settings):
        if step % 20 == 0:
            run.log(step, loss=loss)
    run.log(steps, **measure_audio_encoder(encoder, reader, settings))
    encoder.save_pretrained(run.folder / "audio_encoder")
    extractor.save_pretrained(run.folder / "feature_extractor")


@train.command()
def text_encoder(out: Folder = Path("runs/mini"), steps: int = 800, threads: Threads = 2) -> None:
    """Trains the text encoder to read from a caption what it says; a matter of minutes."""
    _begin(out, threads=threads)
    from humo.training.run import Run, machine_name
    from humo.training.text_encoder.model import make_text_encoder, make_tokenizer
    from humo.training.text_encoder.training import (
        AttributeReader,
        TextEncoderSettings,
        measure_text_encoder,
        train_text_encoder,
    )

    run = Run(out / "text_encoder", steps)
    run.note_machine(0, machine_name("cpu"))
    tokenizer = make_tokenizer()
    encoder = make_text_encoder(tokenizer)
    reader = AttributeReader(encoder.config.d_model)
    for step, loss in train_text_encoder(encoder, reader, tokenizer, TextEncoderSettings(steps=steps)):
        if step % 20 == 0:
            run.log(step, loss=loss)
    run.log(steps, **measure_text_encoder(encoder, reader, tokenizer))
    encoder.save_pretrained(run.folder / "text_encoder")
    tokenizer.save_pretrained(run.folder / "tokenizer")


@train.command()
def transformer(
    out: Folder = Path("runs/mini"),
    steps: Annotated[int, typer.Option(help="In all; more than before goes on.", min=1)] = 6000,
    minutes: Annotated[float | None, typer.Option(help="Train for so long, in place of --steps.", min=0.01)] = None,
    further: Annotated[
        bool, typer.Option(help="A further round for a trained model, at a rate that rises anew.")
    ] = False,
    detail: Annotated[
        bool, typer.Option(help="A further round of the detail head alone, which a model without one is given.")
    ] = False,
    threads: Threads = 2,
    device: Device = "cpu",
    tokens: Annotated[int, typer.Option(help="Tokens a step; a GPU takes 32000 and more.", min=32)] = 3000,
    learning_rate: Annotated[float, typer.Option(help="Peak rate.")] = 2.5e-3,
    audio_share: Annotated[float, typer.Option(help="Share of the sync task at the end; 0.5 in the paper.")] = 0.5,
    layers: int = 6,
    processes: Annotated[int, typer.Option(help="Processes that write captions ahead, for a GPU.", min=0)] = 0,
    compile_blocks: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Compile the blocks: minutes, then faster; default: long CPU runs."
        ),
    ] = None,
    save_every: int = 200,
    sheet_every: Annotated[int, typer.Option(help="Steps between sample sheets; 0: none.", min=0)] = 600,
) -> None:
    """Trains transformer and focus head through the stages; writes a pipeline folder at the end."""
    check_folder(out, ROOM)
    require("its sample sheets", *([_SPEECH] if sheet_every else []))
    if compile_blocks and device == "cpu" and find_compiler() is None:
        raise ValueError(NO_COMPILER)
    from humo.training.transformer.loop import train_transformer
    from humo.training.transformer.rounds import LoopSettings

    set_threads(threads)
    settings = LoopSettings(
        steps=None if minutes else steps, minutes=minutes, further=further, detail=detail, device=device, tokens=tokens,
        learning_rate=learning_rate, audio_share=audio_share, layers=layers, processes=processes,
        compile=compile_blocks, save_every=save_every, sheet_every=sheet_every,
    )  # fmt: skip
    train_transformer(out, settings)


@train.command()
def decoder(
    out: Folder = Path("runs/mini"),
    clips: int = 1600,
    steps: int = 1200,
    threads: Threads = 2,
    device: Device = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that render what the clips should look like.")] = 2,
    batch: Annotated[int, typer.Option(help="Clips a step.", min=1)] = 4,
    frames: Annotated[int, typer.Option(help="Frames a clip, 4k+1.", min=1)] = 17,
    tokens: Annotated[int, typer.Option(help="Tokens of a batch that is redrawn.", min=448)] = 1800,
    depths: Annotated[
        str | None, typer.Option(help="Blocks of the decoder, such as 2,1,1,2,2; default: as it is.")
    ] = None,
    save_every: int = 100,
    critic: Annotated[
        float,
        typer.Option(help="Gradient from a critic of blurred edges, 1: as much as all other; 0: no critic.", min=0.0),
    ] = 0.0,
) -> None:
    """Trains the decoder on what the transformer makes, and gives it to the trained pipeline."""
    _begin(out, _SPEECH, threads=threads)
    _need_pipeline(out)
    import torch

    from humo.checkpoints import load
    from humo.training.autoencoder.loop import train_autoencoder
    from humo.training.autoencoder.training import deepen
    from humo.training.decoder.training import CODEC, DecoderSettings, RedrawnClips, write_redrawn
    from humo.training.transformer.data import ClipData
    from humo.training.transformer.loop import load_audio_encoder

    check_num_frames(frames, "frames")
    if depths is not None and (out / "decoder" / "state.pt").exists():
        raise ValueError("depths are for the beginning of a training, and this one goes on: leave them out.")
    pipe, folder = load(out / "pipeline", device, torch.float32), out / "decoder"
    data = ClipData(out / "data", *load_audio_encoder(out), device)
    settings = DecoderSettings(tokens=tokens)
    for index, path in enumerate(write_redrawn(pipe, data, folder, clips, settings)):
        typer.echo(f"{index + 1} {path.name}", err=True)
    training = replace(CODEC, steps=steps, critic=critic, batch_size=batch, num_frames=frames)
    redrawn = RedrawnClips(folder, training, workers, device)

    def begin() -> HuMoVideoCodec:
        return deepen(pipe.vae.cpu(), [int(each) for each in depths.split(",")] if depths else pipe.vae.config.depths)

    batches = partial(redrawn.batches, own_share=settings.own_share)
    refined = train_autoencoder(begin, folder, training, save_every, batches, redrawn.measure, device)
    refined.save_pretrained(out / "pipeline" / "vae")


@train.command()
def voices(
    out: Folder = Path("runs/mini"),
    sentences: Annotated[int, typer.Option(help="Said by espeak-ng and by other synthesisers.", min=4)] = 1000,
    steps: Annotated[int, typer.Option(help="In all; more than before goes on.", min=1)] = 7000,
    minutes: Annotated[float | None, typer.Option(help="Train for so long, in place of --steps.", min=0.01)] = None,
    workers: Annotated[int, typer.Option(help="Processes that make the sentences.", min=1)] = 2,
    threads: Threads = 1,
    save_every: int = 100,
) -> None:
    """Teaches the audio encoder to hear other voices than espeak-ng's, and gives it to the trained pipeline."""
    _begin(out, _SPEECH, _PHONES, threads=threads)
    _need_pipeline(out)
    from humo.training.audio_encoder.voices.data import write_sentences
    from humo.training.audio_encoder.voices.loop import SENTENCES, train_voices

    for path in write_sentences(out / "voices" / SENTENCES, sentences, workers):
        typer.echo(path.name, err=True)
    student = train_voices(out, None if minutes else steps, minutes, save_every)
    student.save_pretrained(out / "pipeline" / "audio_encoder")


def _need_pipeline(out: Path) -> None:
    if not (out / "pipeline").exists():
        raise ValueError(f"{out} has no pipeline: run `python -m humo train transformer` or `train start` first.")


@train.command()
def start(
    out: Folder = Path("runs/mini"),
    model_folder: Annotated[
        Path, typer.Option("--model", help="A published model.", show_default="the bundled one")
    ] = MINI,
) -> None:
    """Lays a finished model out as a training, so that the steps above go on from it."""
    from humo.training.transformer.start import start_from

    steps = start_from(model_folder, out)
    at = ", ".join(f"{part} at step {step}" for part, step in steps.items())
    typer.echo(f"{out}: {at}; ask both for more --steps.")


@train.command()
def publish(
    out: Folder = Path("runs/mini"),
    to: Annotated[Path, typer.Option(help="Folder of the bundled model.")] = Path("assets/humo-mini"),
) -> None:
    """Writes the trained pipeline as the bundled model: bfloat16, small shards, a card."""
    from humo.evaluation.publishing import publish as publish_training

    typer.echo(str(publish_training(out, to)))


@train.command()
def card(
    model_folder: Annotated[Path, typer.Option("--model", help="A published model.")] = Path("assets/humo-mini"),
    report: Annotated[
        Path | None, typer.Option(help="Folder of an evaluation; default: the report that the card has.")
    ] = None,
) -> None:
    """Writes the model card anew, with the figures of `python -m humo evaluate --out REPORT`."""
    from humo.evaluation.publishing import write_card

    typer.echo(str(write_card(model_folder, report)))
