"""`python -m humo evaluate`: probes, videos, figures, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from humo.system.command_line import check_folder
from humo.system.imports import require
from humo.system.threads import set_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from humo.evaluation.cases import Case
    from humo.evaluation.probes.networks import ProbeOutput, Probes
    from humo.evaluation.voices.recordings import Recording
    from humo.pipeline import HuMoPipeline

Scale = Annotated[float | None, typer.Option(help="Guidance; default: the model's own.")]


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
    videos: Annotated[int, typer.Option(help="Held-out cases a mode; 64 or more tell something.", min=2)] = 64,
    seed: Annotated[int, typer.Option(help="Of the cases and their noise.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="So many evaluations from that seed on, and their spread.", min=1)] = 1,
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B or a folder.")] = "mini",
    fast: Annotated[bool, typer.Option("--fast", help="The model's fast form.")] = False,
    cache: Annotated[str | None, typer.Option(help="first_block or taylor (`humo.layers.step_caches`).")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or bfloat16; default: bfloat16 where hardware multiplies it.")
    ] = None,
    modes: Annotated[str, typer.Option(help="Modes, with commas between them.")] = "T,TI,TA,TIA",
    frames: Annotated[int, typer.Option(help="4k+1 frames at 25 a second.")] = 49,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; default: the model's own.", min=1)] = None,
    text_scale: Scale = None,
    image_scale: Scale = None,
    audio_scale: Scale = None,
    guidance: Annotated[str | None, typer.Option(help='A rule as JSON: {"rule": "constant", "text": 2.5}.')] = None,
    split: Annotated[str, typer.Option(help='"test", or "validation" to choose settings on.')] = "test",
    probes: Annotated[
        Path | None, typer.Option(help="Trained probes, or their cache; default: the bundled ones.")
    ] = None,
    probe_steps: Annotated[int | None, typer.Option(help="Training steps of the probes.", min=1)] = None,
    probe_codec: Annotated[
        bool,
        typer.Option(help="Train probes on frames from this model's codec too; gains little."),
    ] = False,
    batch: Annotated[int, typer.Option(help="Videos denoised together.", min=1)] = 8,
    threads: Annotated[int | None, typer.Option(help="Threads of PyTorch.", min=1)] = None,
    voices: Annotated[
        str | None, typer.Option(help='"human": measure mouths on recordings of people, --videos pieces of them.')
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Folder of sounds with a .txt beside each; default: Debian's pocketsphinx-testdata."),
    ] = None,
    music: Annotated[Path | None, typer.Option(help="Folder of music for --voices; default: made music.")] = None,
    takes: Annotated[
        int | None, typer.Option(help="Measure so many takes of 8 s instead: unbroken, of windows, of shots.", min=2)
    ] = None,
    overlap: Annotated[int | None, typer.Option(help="Of --takes: frames known from the piece before.")] = None,
    resampling: Annotated[int, typer.Option(help="Of --takes: how often each step is done again.", min=0)] = 0,
    start_sigma: Annotated[
        float | None, typer.Option(help="Of --takes: noise level at which a piece begins.", min=0, max=1)
    ] = None,
    dubs: Annotated[
        int | None, typer.Option(help="Measure so many dubs instead: held-out clips with another sentence.", min=2)
    ] = None,
    outlines: Annotated[
        int | None, typer.Option(help="Redraw so many held-out clips instead: how crisp are outlines?", min=2)
    ] = None,
    redraw_sigma: Annotated[
        float, typer.Option(help="Of --outlines: noise level from which a clip is redrawn.", min=0, max=1)
    ] = 0.6,
    against: Annotated[
        Path | None, typer.Option(help="Of --outlines: another model's folder; whose clips look more like renders?")
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="Measure as `python -m humo bench` does, for the published models.")
    ] = None,
) -> None:
    """Measure what a model can do on people, words and voices that it has never met, and write the report."""
    check_folder(out)
    if bench is not None:
        from humo.evaluation.published.command import run_bench

        if dtype is not None:
            raise ValueError("--bench takes the numbers that humo.load chooses: leave --dtype out.")
        typer.echo(str(run_bench(bench, out, preset=preset, steps=steps, guidance=guidance, tell=_tell)))
        return
    wanted = _read_modes(modes)
    if against is not None and (outlines is None or not (against / "model_index.json").is_file()):
        raise ValueError(f"--against is {against.name}: give a model's folder, and --outlines beside it.")
    require("speech", "espeakng_loader", *(["pocketsphinx"] if voices is not None else []))
    found = _find_recordings(voices, recordings, music)

    from humo.system.dtypes import read_dtype

    numbers = read_dtype(dtype)

    from humo.checkpoints import load  # after the cheap checks, for it takes seconds
    from humo.evaluation.generation import settings_for
    from humo.evaluation.measure import EvaluationSettings, evaluate_pipeline
    from humo.evaluation.probes.networks import ProbeSettings
    from humo.evaluation.probes.training import get_probes
    from humo.evaluation.report import probe_table, summary, write_report, write_samples, write_sheet
    from humo.evaluation.seeds import spread_of

    if threads is not None:
        set_threads(threads)
    pipe = load(preset, dtype=numbers, fast=fast, cache=cache)
    scales = {"text": text_scale, "image": image_scale, "audio": audio_scale}
    generation = settings_for(
        pipe, frames, steps, _read_guidance(guidance, pipe.config.default_guidance, scales), batch
    )
    out.mkdir(parents=True, exist_ok=True)
    if outlines is not None:
        _measure_outlines(pipe, out, outlines, seed, split, redraw_sigma, steps, batch, against)
        return
    probe_settings = None if probe_steps is None else ProbeSettings(steps=probe_steps)
    eyes = get_probes(probes, probe_settings, pipe.vae if probe_codec else None)
    typer.echo(probe_table(eyes.accuracy))
    if takes is not None:
        _measure_takes(pipe, eyes, out, takes, seed, split, overlap, resampling, start_sigma, steps, batch)
        return
    if dubs is not None:
        _measure_dubs(pipe, eyes, out, dubs, seed, split, steps, batch)
        return
    if found is not None:
        from humo.evaluation.voices.measure import VoiceSettings, evaluate_voices
        from humo.evaluation.voices.recordings import describe_source

        asked = VoiceSettings(num_pieces=videos, seed=seed)
        videos_at, made = out / "videos", _music_of(music)
        figures, left_out = evaluate_voices(pipe, eyes, found, asked, generation, videos_at, made)
        _tell_voices(figures | {"source": describe_source(recordings)}, left_out, out)
        return
    sheets: list[str] = []

    def show(mode: str, cases: list[Case], made: list[np.ndarray], readings: list[ProbeOutput]) -> None:
        sheets.append(write_sheet(out / f"{mode}.webp", cases, made, readings, mode).name)
        write_samples(out / "samples", cases, made, mode)

    reports = []
    for number in range(seed, seed + seeds):
        settings = EvaluationSettings(num_videos=videos, seed=number, split=split, modes=wanted)
        is_first = number == seed  # whose videos are shown, and whose figures the report tells in full
        report = evaluate_pipeline(pipe, eyes, settings, generation, out / "videos", show if is_first else None)
        reports.append(report)
        path = write_report({**reports[0], **({} if is_first else {"spread": spread_of(reports)})}, out, sheets)
        for mode, figures in report["modes"].items():
            typer.echo(summary(mode, figures))
        typer.echo(f"mask IoU at timestep 500: {report['mask_iou'].get('500', float('nan')):.2f}")
    typer.echo(str(path))


def _measure_takes(
    pipe: HuMoPipeline,
    eyes: Probes,
    out: Path,
    takes: int,
    seed: int,
    split: str,
    overlap: int | None,
    resampling: int,
    start_sigma: float | None,
    steps: int | None,
    batch: int,
) -> None:
    from humo.evaluation.known.takes import TakeSettings, evaluate_takes, take_table
    from humo.requests.continuing import OVERLAP, START_SIGMA
    from humo.system.files import write_json

    settings = TakeSettings(
        num_takes=takes,
        seed=seed,
        split=split,
        overlap=OVERLAP if overlap is None else overlap,
        resampling=resampling,
        start_sigma=START_SIGMA if start_sigma is None else start_sigma,
        num_inference_steps=steps,
        batch_size=batch,
    )
    report = evaluate_takes(pipe, eyes, settings, folder=out / "takes")
    write_json(out / "takes.json", report, indent=1)
    typer.echo(take_table(report))


def _measure_dubs(
    pipe: HuMoPipeline, eyes: Probes, out: Path, dubs: int, seed: int, split: str, steps: int | None, batch: int
) -> None:
    from humo.evaluation.known.dubs import DubSettings, dub_table, evaluate_dubs
    from humo.system.files import write_json

    settings = DubSettings(num_dubs=dubs, seed=seed, split=split, num_inference_steps=steps, batch_size=batch)
    report = evaluate_dubs(pipe, eyes, settings, sheet=out / "dubs.png")
    write_json(out / "dubs.json", report, indent=1)
    typer.echo(dub_table(report))


def _measure_outlines(
    pipe: HuMoPipeline,
    out: Path,
    clips: int,
    seed: int,
    split: str,
    sigma: float,
    steps: int | None,
    batch: int,
    against: Path | None,
) -> None:
    from humo.checkpoints import load
    from humo.evaluation.forced_choice import choice_sentence, compare_models
    from humo.evaluation.outlines import OutlineSettings, evaluate_outlines, outline_table
    from humo.system.files import write_json

    settings = OutlineSettings(
        num_clips=clips, seed=seed, split=split, sigma=sigma, num_inference_steps=steps, batch_size=batch
    )
    other = None if against is None else load(against, dtype=pipe.transformer.dtype)
    report = evaluate_outlines(pipe, settings, lambda sheet: sheet.save(out / "outlines.png"))
    if other is not None:
        report["choice"] = compare_models([other, pipe], settings)
        typer.echo(choice_sentence(report["choice"]))
    write_json(out / "outlines.json", report, indent=1)
    typer.echo(outline_table(report))


def _find_recordings(voices: str | None, folder: Path | None, music: Path | None) -> list[Recording] | None:
    from humo.evaluation.voices.recordings import find_recordings

    if voices is None:
        if folder is not None or music is not None:
            raise ValueError("recordings and music are what `--voices human` measures: add it, or leave them out.")
        return None
    if voices != "human":
        raise ValueError(f'voices is {voices!r}: "human" is what can be measured.')
    return find_recordings(folder)


def _music_of(folder: Path | None) -> Callable[[np.random.Generator, int], np.ndarray]:
    from humo.evaluation.voices.degradations import make_music, read_music

    return make_music if folder is None else read_music(folder)


def _tell_voices(figures: dict[str, Any], left_out: list[str], out: Path) -> None:
    from humo.evaluation.voices.report import voice_summary, write_voices

    for reason in left_out:
        _tell(f"left out: {reason}")
    for name, row in {**figures["by_voice"], **figures["by_change"]}.items():
        typer.echo(voice_summary(name, row))
    typer.echo(f"open in pauses {figures['pauses']['openness']:z.2f}, to music {figures['music']['openness']:z.2f}")
    typer.echo(str(write_voices(figures, out)))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _read_modes(text: str) -> tuple[str, ...]:
    known = ("T", "TI", "TA", "TIA")
    wanted = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    if not wanted or any(mode not in known for mode in wanted):
        raise ValueError(f"modes is {text!r}: use some of {', '.join(known)}, with commas between them.")
    return wanted


def _read_guidance(text: str | None, default: dict[str, Any], scales: dict[str, float | None]) -> dict[str, Any]:
    """The rule as plain data: the given one or the default, with the given scales in it."""
    from humo.guidance import make_rule, parse_rule

    rule = dict(default) if text is None else parse_rule(text)
    rule |= {name: value for name, value in scales.items() if value is not None}
    make_rule(rule)  # refuses what it does not know before anything is generated
    return rule
