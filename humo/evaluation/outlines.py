"""How crisp the outlines of a picture are, where the truth is known. Ours.

The drawn world knows every outline exactly. A clip that is redrawn, led part of the way to noise and back by the model
(SDEdit, arXiv 2108.01073), still shows the same outlines, with the model's softness and wobble in them, and can be laid
over its render. Beside it stands the render through the video codec alone, which no transformer can exceed.

Legend: f frames, h w pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers.utils import make_image_grid
from PIL import Image
from scipy.ndimage import maximum_filter, uniform_filter
from tqdm import tqdm

from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import GenerationSettings, draw_noise, encode_cases, settings_for
from humo.guidance import make_rule
from humo.known import know_frames
from humo.known.latents import join_known
from humo.pipeline import HuMoPipeline
from humo.references import decode_latents, to_frames
from humo.sampling import denoise
from humo.system.fingerprint import fingerprint_pipeline

STEP = 20.0
"""Difference of neighbouring pixels, of 255, from which on there is an outline."""
_NEAR, _ALONG = 5, 15
"""Sides in pixels of what one place of an outline is judged by, and of the stretch that may have moved as a whole."""
_FARTHEST = 2.0
"""Pixels; what is farther away is another outline."""
_WAYS = ("codec", "redrawn")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlineSettings:
    """What is measured."""

    num_clips: int = 48
    """Held-out clips."""
    seed: int = 0
    """Of the cases and their noise."""
    split: str = "test"
    """"test", or "validation" to choose settings on."""
    sigma: float = 0.6
    """Noise level to which a clip is led, 0 to 1: where outlines are no more seen, but the model still knows where
    they have been. It begins at the first step that lies no higher, 0.58 of mini's sixteen: figures of other numbers of
    steps begin elsewhere, and are not to be compared."""
    num_frames: int = 25
    """Of a clip."""
    num_inference_steps: int | None = None
    """Of the whole way from noise, of which the end is done; None for the model's own."""
    batch_size: int = 8
    """Clips that are redrawn together."""


def sharpness(made: np.ndarray, truth: np.ndarray) -> float:
    """How much of the truth's steps from pixel to pixel is there at its outlines.

    The slope of a line through the differences of neighbouring pixels of both: 1 for the truth itself, about 0.5 where
    a step is spread over two pixels or lies a pixel aside.

    Args:
        made: RGB, uint8 (f, h, w, 3).
        truth: what it should be, same shape.

    Returns:
        0 for no outlines, 1 for the truth's; NaN if the truth has none.
    """
    shared = whole = 0.0
    for axis in (1, 2):
        one, other = (np.diff(each.astype(np.float32), axis=axis) for each in (made, truth))
        is_outline = np.abs(other).max(-1) >= STEP
        shared += float((one[is_outline] * other[is_outline]).sum())
        whole += float((other[is_outline] ** 2).sum())
    return shared / whole if whole else float("nan")


def wobble(made: np.ndarray, truth: np.ndarray) -> float:
    """By how many pixels outlines leave their course, beside what a stretch of them has moved as a whole.

    What a stretch has moved is the translation that explains the difference of both pictures best, within 15 pixels
    (Lucas and Kanade 1981); what is left over is explained by shifts along the outline's normal, within 5 pixels. A
    blur, which changes both sides of an outline alike, counts little.

    Args:
        made: RGB, uint8 (f, h, w, 3).
        truth: what it should be, same shape.

    Returns:
        Root mean square in pixels; NaN if the truth has no outline.
    """
    shifts = list[np.ndarray]()
    for one, other in zip(made.mean(-1, dtype=np.float32), truth.mean(-1, dtype=np.float32), strict=True):
        rows, columns = np.gradient(other)
        slope = np.hypot(rows, columns)
        left = other - one
        left = left - _explain(left, rows, columns)
        shift = uniform_filter(left * slope, _NEAR) / (uniform_filter(slope**2, _NEAR) + 1.0)
        # np.gradient spreads a step over two pixels; the middle of an outline is where it is steepest
        shifts.append(shift[(slope >= STEP / 2) & (slope == maximum_filter(slope, 3))])
    away = np.clip(np.concatenate(shifts), -_FARTHEST, _FARTHEST)
    return float(np.sqrt((away**2).mean())) if len(away) else float("nan")


def _explain(difference: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What of a difference (h, w) a translation of the neighbourhood makes, given the truth's gradients."""
    yy, xx, yx, y, x = (
        uniform_filter(one, _ALONG)
        for one in (rows**2, columns**2, rows * columns, rows * difference, columns * difference)
    )
    yy, xx = yy + 1.0, xx + 1.0  # where nothing is to be seen, nothing has moved
    determinant = yy * xx - yx**2
    return rows * (xx * y - yx * x) / determinant + columns * (yy * x - yx * y) / determinant


def evaluate_outlines(
    pipe: HuMoPipeline, settings: OutlineSettings, show: Callable[[Image.Image], object] | None = None
) -> dict[str, Any]:
    """Redraw held-out clips and measure their outlines.

    Args:
        pipe: the model, told text, picture and voice.
        settings: what is measured.
        show: given a sheet of the first clips: render, codec and redrawn.

    Returns:
        Plain data: {"codec": {"sharpness", "wobble"}, "redrawn": the same, "settings"}; means over the clips.
    """
    cases = draw_cases(settings)
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in _WAYS}
    for number, (chosen, ways) in enumerate(redraw_all(pipe, cases, settings)):
        for way, videos in ways.items():
            for case, frames in zip(chosen, videos, strict=True):
                truth = case.clip.frames
                figures[way].append((sharpness(frames, truth), wobble(frames, truth)))
        if show is not None and not number:
            show(draw_sheet(chosen[:4], {way: videos[:4] for way, videos in ways.items()}))
    means = {way: np.nanmean(np.array(rows), axis=0).tolist() for way, rows in figures.items()}
    told = asdict(settings) | {"model": fingerprint_pipeline(pipe)}
    return {way: {"sharpness": one, "wobble": other} for way, (one, other) in means.items()} | {"settings": told}


def draw_cases(settings: OutlineSettings) -> list[Case]:
    """The held-out clips that are redrawn."""
    return make_cases(settings.num_clips, settings.seed, settings.split, settings.num_frames)


def redraw_all(
    pipe: HuMoPipeline, cases: Sequence[Case], settings: OutlineSettings
) -> Iterator[tuple[Sequence[Case], dict[str, list[np.ndarray]]]]:
    """Redraws clips batch by batch, with progress; yields a batch's clips and what `redraw_cases` gives of them."""
    generation = settings_for(pipe, settings.num_frames, settings.num_inference_steps, batch_size=settings.batch_size)
    with tqdm(desc="redrawing", total=len(cases), unit="clip") as bar:
        for start in range(0, len(cases), settings.batch_size):
            chosen = cases[start : start + settings.batch_size]
            yield chosen, redraw_cases(pipe, chosen, generation, settings.sigma)
            bar.update(len(chosen))


@torch.no_grad()
def redraw_cases(
    pipe: HuMoPipeline, cases: Sequence[Case], settings: GenerationSettings, sigma: float
) -> dict[str, list[np.ndarray]]:
    """Clips through the codec alone, and led to a noise level and back by the model.

    Args:
        pipe: the model.
        cases: clips with what the model is told of them.
        settings: how it generates.
        sigma: noise level, 0 to 1.

    Returns:
        {"codec", "redrawn"}: one (f, h, w, 3) uint8 array a case.
    """
    clean = [know_frames(case.clip.frames, None, pipe.vae, pipe.device) for case in cases]
    free = [replace(known, mask=torch.zeros_like(known.mask), start_sigma=sigma) for known in clean]
    redrawn = denoise(
        pipe.transformer,
        pipe.scheduler,
        make_rule(settings.guidance),
        replace(encode_cases(pipe, cases, "TIA", settings), known=join_known(free)),
        torch.cat([draw_noise(pipe, case.noise_seed, settings) for case in cases]),
        settings.num_inference_steps,
        batch_branches=pipe.config.batch_branches,
    )
    latents = {"codec": [known.latents for known in clean], "redrawn": list(redrawn.split(1))}
    return {way: [to_frames(decode_latents(one, pipe.vae)[0]) for one in every] for way, every in latents.items()}


def outline_table(report: dict[str, Any]) -> str:
    """The figures as lines of text."""
    rows = [f"{way:<8} {report[way]['sharpness']:9.3f} {report[way]['wobble']:8.3f} px" for way in _WAYS]
    return "\n".join(["way      sharpness   wobble", *rows])


def draw_sheet(cases: Sequence[Case], ways: dict[str, list[np.ndarray]], side: int = 480) -> Image.Image:
    """The middle frames of clips, enlarged as the page does: render, codec and redrawn side by side."""
    shown = [
        film for index, case in enumerate(cases) for film in (case.clip.frames, *(ways[way][index] for way in _WAYS))
    ]
    middle = [Image.fromarray(frames[len(frames) // 2]) for frames in shown]
    return make_image_grid(middle, rows=len(cases), cols=1 + len(_WAYS), resize=side)
