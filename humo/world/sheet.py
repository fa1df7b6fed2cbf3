"""The world on one page: a contact sheet of clips with all that training gets from them.

A row is a clip: the reference picture, frames over time, the exact areas of the face, the mouth and the eyes, and below
the frames the sound with the two mouth curves, on the same clock as the frames above it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from humo.media import check_video_path, write_video
from humo.media.video import check_target
from humo.timing import FPS, SAMPLE_RATE
from humo.world.clips import Clip, plan_clip, render_clip

COLUMNS = 8
"""Frames shown of each clip."""
INK, GREY, PALE = "#22252b", "#8b9099", "#d9dce1"
OPENNESS, WIDTH = "#d1495b", "#2e86ab"
_MOUTH, _EYES = (209, 73, 91), (46, 134, 171)
# Inches; a cell is a picture.
_CELL, _GAP, _HEAD, _CURVE, _FOOT, _EDGE = 1.2, 0.08, 0.34, 0.62, 0.46, 0.25
_DPI = 160


def sample_clips(
    seed: int = 8, split: str = "train", size: int = 128, num_clips: int = 6, num_frames: int = 49
) -> list[Clip]:
    """Renders clips of consecutive seeds.

    Args:
        seed: of the first.
        split: "train", "validation" or "test".
        size: side in pixels.
        num_clips: how many.
        num_frames: frames of each, at 25 a second.

    Raises:
        ValueError: if a number is too small, the seed negative or the split unknown.
    """
    if num_clips < 1 or seed < 0:
        raise ValueError(f"{num_clips} clips from seed {seed} are asked for: use 1 or more from seed 0 or more.")
    return [render_clip(plan_clip(seed + index, split), num_frames, size) for index in range(num_clips)]


def draw_sheet(clips: Sequence[Clip]) -> Figure:
    """Draws the contact sheet; `Figure.savefig` writes it.

    Args:
        clips: at least one, of any sizes and lengths.

    Raises:
        ValueError: if there is no clip.
    """
    if not clips:
        raise ValueError("there is no clip to show: give at least one.")
    row = _HEAD + _CELL + _CURVE + _FOOT
    width = 2 * _EDGE + (COLUMNS + 2) * (_CELL + _GAP) + _GAP
    height = 2 * _EDGE + len(clips) * row
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for index, clip in enumerate(clips):
        _draw_row(_Canvas(figure, top=height - _EDGE - index * row), clip)
    return figure


class _Canvas:
    """Places things on a figure in inches from its left edge and down from `top`."""

    def __init__(self, figure: Figure, top: float) -> None:
        self.figure = figure
        self.top = top

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        w, h = self.figure.get_size_inches()
        return self.figure.add_axes((x / w, (self.top - y - height) / h, width / w, height / h))

    def write(self, x: float, y: float, text: str, **look: Any) -> None:
        w, h = self.figure.get_size_inches()
        self.figure.text(x / w, (self.top - y) / h, text, **{"va": "baseline", "color": INK, "size": 8, **look})

    def picture(self, x: float, picture: np.ndarray, label: str = "") -> None:
        axes = self.axes(x, _HEAD, _CELL, _CELL)
        axes.imshow(picture, interpolation="lanczos")
        axes.set_axis_off()
        if label:
            self.write(x, _HEAD + _CELL + 0.14, label, color=GREY, size=6.5)


def _draw_row(canvas: _Canvas, clip: Clip) -> None:
    left, step = _EDGE, _CELL + _GAP
    frames_left = left + step + _GAP
    shown = shown_frames(len(clip.frames))
    caption = clip.caption(np.random.default_rng(clip.plan.seed))
    canvas.write(left, 0.22, textwrap.shorten(caption, 185, placeholder=" ..."), size=9.5)
    canvas.picture(left, clip.reference, "reference")
    for column, index in enumerate(shown):
        canvas.picture(frames_left + column * step, clip.frames[index])
    mask = int(shown[len(shown) // 2])
    canvas.picture(frames_left + COLUMNS * step + _GAP, show_areas(clip, mask), "face, mouth and eyes")
    curve = canvas.axes(frames_left, _HEAD + _CELL + 0.08, COLUMNS * step - _GAP, _CURVE - 0.08)
    _draw_curves(curve, clip, shown)
    voice = clip.plan.voice
    said = f"\u201c{clip.plan.sentence}\u201d  {voice.name}" if clip.plan.sentence else "says nothing"
    canvas.write(frames_left, _HEAD + _CELL + _CURVE + 0.27, said, color=GREY, size=7.5, style="italic")


def shown_frames(num_frames: int) -> np.ndarray:
    """Indices of the frames in the middle of the sheet's columns, so that each stands above its own moment."""
    return ((np.arange(COLUMNS) + 0.5) * num_frames / COLUMNS).astype(int)


def show_areas(clip: Clip, index: int) -> np.ndarray:
    """One frame, (s, s, 3) uint8: pale outside the face, the areas of mouth and eyes tinted."""
    frame = clip.frames[index].astype(np.float32)
    shown = np.where(clip.face[index][..., None], frame, 255 - 0.22 * (255 - frame.mean(-1, keepdims=True)))
    for kind, colour in ((2, _MOUTH), (1, _EYES)):
        area = (clip.features[index] == kind)[..., None]
        shown = np.where(area, 0.62 * shown + 0.38 * np.array(colour, np.float32), shown)
    return np.rint(shown).astype(np.uint8)


def _draw_curves(axes: Axes, clip: Clip, shown: np.ndarray) -> None:
    """Sound in grey, openness and width of the mouth in colour, a dot for each frame above."""
    seconds = len(clip.frames) / FPS
    moment = np.arange(len(clip.waveform)) / SAMPLE_RATE
    loudest = max(float(np.abs(clip.waveform).max()), 1e-3)
    axes.plot(moment, 0.5 + 0.5 * clip.waveform / loudest, color=PALE, linewidth=0.35)
    clock = (np.arange(len(clip.frames)) + 0.5) / FPS
    axes.plot(clock, clip.width, color=WIDTH, linewidth=0.9, alpha=0.75)
    axes.plot(clock, clip.openness, color=OPENNESS, linewidth=1.4, solid_joinstyle="round")
    axes.plot(clock[shown], clip.openness[shown], "o", color=OPENNESS, markersize=3.2)
    axes.set(xlim=(0, seconds), ylim=(-0.06, 1.06), yticks=[], xticks=np.arange(0, seconds + 1e-6, 0.5))
    axes.tick_params(axis="x", length=2, pad=1.5, labelsize=6, color=PALE, labelcolor=GREY)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    for y, text, colour in ((0.50, "openness", OPENNESS), (0.22, "width", WIDTH)):
        axes.text(-0.008, y, text, color=colour, size=6.5, transform=axes.transAxes, ha="right", va="center")


def write_sheet(path: str | Path, clips: Sequence[Clip]) -> Path:
    """Writes the contact sheet as a PNG.

    Raises:
        ValueError: if the path does not end in .png, its folder does not exist, or there is no clip.
    """
    path = check_target(path, "sheet", ".png")
    draw_sheet(clips).savefig(path)
    return path


def write_sample(path: str | Path, clip: Clip) -> Path:
    """Writes a clip as an mp4 with its sound, enlarged to about 512 pixels.

    Raises:
        ValueError: if the path does not end in .mp4 or its folder does not exist.
    """
    plan = clip.plan
    metadata = {"caption": clip.caption(np.random.default_rng(plan.seed)), "sentence": plan.sentence}
    return write_video(
        check_video_path(path),
        clip.frames,
        FPS,
        (clip.waveform, SAMPLE_RATE),
        metadata={**metadata, "voice": plan.voice.name},
        scale=2 * max(1, 256 // clip.frames.shape[1]),  # even, for yuv420p wants even sides
    )
