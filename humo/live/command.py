"""`python -m humo live`: a sound spoken to a live session at its own pace, and whether the session keeps up. Ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from humo.system.threads import usable_cores

if TYPE_CHECKING:
    from humo.live.session import LiveSession, Piece

STRETCH = 0.16
"""Seconds of sound that come at once, as from the page."""
EVERY = 10.0
"""Seconds from one line of figures to the next."""
MIB = 2**20


def live(
    audio: Annotated[Path, typer.Option(help="A sound in which somebody speaks; repeated as long as need be.")],
    prompt: Annotated[str, typer.Option(help="What to see.")] = "a person talks",
    image: Annotated[Path | None, typer.Option(help="A picture of the person.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to speak.", min=2.0)] = 60.0,
    preset: Annotated[str, typer.Option(help="mini, or a folder with a fast form.")] = "mini",
    steps: Annotated[int | None, typer.Option(help="Steps of a piece; default: the fast form's own.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first frames.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write what was seen and heard to this .mp4.")] = None,
) -> None:
    """Speak a sound to a live session at its own pace; tells pace, delay, underruns and memory as they go."""
    from humo.media import check_video_path, read_picture, read_sound, write_video

    if out is not None:
        check_video_path(out)
    sound = read_sound(audio)
    if image is not None:
        read_picture(image)
    from humo.checkpoints import load  # after the cheap checks, for it takes seconds
    from humo.live.session import LiveSession

    mono = sound.original.mean(1)
    session = LiveSession(load(preset, fast=True), prompt, image, rate=sound.rate, num_inference_steps=steps, seed=seed)
    session.open()
    for note in session.notes:
        typer.echo(note)
    typer.echo(f"{'second':>6} {'factor':>7} {'slowest':>8} {'delay':>6} {'underruns':>9} {'left out':>8} {'MiB':>6}")
    spoken = np.resize(mono, round(seconds * sound.rate))
    kept: list[Piece] = []
    for piece in _pieces(session, spoken, sound.rate):
        if out is not None:
            kept.append(piece)
    typer.echo(f"{usable_cores()} cores, the most delay {session.meter.largest_delay:.2f} s")
    if out is not None and kept:
        frames = np.concatenate([piece.frames for piece in kept])
        heard = np.concatenate([piece.sound for piece in kept])[:, None]
        typer.echo(f"{write_video(out, frames, 25, (heard, sound.rate), {'mode': 'live', 'prompt': prompt})}: written")


def _pieces(session: LiveSession, spoken: np.ndarray, rate: int) -> Iterator[Piece]:
    """The pieces of a sound that is spoken meanwhile, with a line of figures every now and then."""
    is_over = threading.Event()
    speaker = threading.Thread(target=_speak, args=(session, spoken, rate, is_over), daemon=True)
    began = told = time.monotonic()
    speaker.start()
    while not is_over.is_set() or session.is_ready:
        if session.is_ready:
            yield session.make()
        else:
            time.sleep(0.005)
        if time.monotonic() - told >= EVERY or (is_over.is_set() and not session.is_ready):
            told = time.monotonic()
            typer.echo(_line(session, told - began))


def _speak(session: LiveSession, spoken: np.ndarray, rate: int, is_over: threading.Event) -> None:
    began, stretch = time.monotonic(), round(STRETCH * rate)
    for start in range(0, len(spoken), stretch):
        part = spoken[start : start + stretch]
        time.sleep(max(0.0, began + (start + len(part)) / rate - time.monotonic()))  # once it is said
        session.hear(part)
    is_over.set()


def _line(session: LiveSession, second: float) -> str:
    import psutil

    meter, memory = session.meter, psutil.Process().memory_info().rss / MIB
    return (
        f"{second:6.0f} {meter.real_time_factor:7.2f} {meter.longest:6.2f} s {meter.delay:4.2f} s "
        f"{meter.underruns:9d} {session.left_out:6.1f} s {memory:6.0f}"
    )
