"""What the lessons draw with: figures in one style, rows of pictures, the sheet that stands for a video. Ours."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from humo.explain.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
MAX_PNG = 60_000
"""Bytes of the largest picture that is stored in a lesson."""
SHEET_FRAMES = 7
"""Frames on the sheet that stands for a video."""
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.frameon": False,
    "legend.fontsize": "small",
    "lines.linewidth": 2,
}


def figure(width: float = 7.0, height: float = 3.0, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """An empty figure in the lessons' style, and its axes.

    Lines that name no colour take the concepts' colours in the order text, image, audio, mask, null, each with a
    style of its own, so that colour never stands alone.

    Args:
        width, height: inches, at 110 dots an inch.
        rows, columns: of axes.

    Returns:
        The figure, and one axes or an array of them as `Figure.subplots` gives it.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    colours = [COLOURS[name] for name in ("text", "image", "audio", "mask", "null")]
    cycle = cycler("color", colours) + cycler("linestyle", ["-", "--", "-.", ":", (0, (1, 3))])
    matplotlib.rcParams.update({**_STYLE, "axes.prop_cycle": cycle})
    drawn = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return drawn, drawn.subplots(rows, columns)


def panels(
    rows: Iterable[Iterable[np.ndarray | Image.Image]],
    titles: Iterable[str] = (),
    labels: Iterable[str] = (),
    width: float = 7.0,
    colours: Iterable[str] = (),
) -> Figure:
    """A figure of pictures in rows, with words above the columns and to the left of the rows.

    Args:
        rows: as many pictures in each; levels of 255, in colour or grey.
        titles: above the columns.
        labels: left of the rows.
        width: inches of the figure; its height follows.
        colours: of the titles.

    Returns:
        The figure; a picture that is higher than wide gets a square place.
    """
    rows = [[np.asarray(picture) for picture in row] for row in rows]
    titles, labels = list(titles), list(labels)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    letters = max((len(line) for label in labels for line in label.split("\n")), default=0)
    beside = 0.085 * letters + 0.06 * bool(labels)
    side = (width - beside) / len(rows[0])
    heights = [side * min(1, max(picture.shape[0] / picture.shape[1] for picture in row)) for row in rows]
    drawn, _ = figure(width, sum(heights) + 0.2 * lines + 0.1 * len(rows), len(rows), len(rows[0]))
    for panel, picture in zip(drawn.axes, (picture for row in rows for picture in row), strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, color="0.7")
    for panel, title in zip(drawn.axes, titles, strict=False):
        panel.set_title(title, fontsize=10)
    for panel, label in zip(drawn.axes[:: len(rows[0])], labels, strict=False):
        at = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "va": "center"}
        panel.annotate(label, (0, 0.5), (-4, 0), fontsize=10, **at).set_in_layout(False)
    drawn.get_layout_engine().set(rect=(beside / width, 0, 1 - beside / width, 1))
    for panel, colour in zip(drawn.axes, colours, strict=False):
        panel.title.set_color(colour)
    return drawn


def change_curves(films: Mapping[str, np.ndarray], shown: range, mark: int) -> Figure:
    """A figure of how much each frame of some videos differs from the one before, with a line at one frame.

    Args:
        films: by name, each (f, height, width, 3) uint8.
        shown: numbers of frames, from 1 on.
        mark: number of the frame with the line.
    """
    drawn, axes = figure(7, 2.8)
    for style, (name, frames) in zip(("-", "--", ":", "-."), films.items(), strict=False):
        change = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
        axes.plot(shown, change[shown.start - 1 : shown.stop - 1], style, label=name)
    axes.axvline(mark, color="0.7", linewidth=1)
    axes.set(xlabel="video frame", ylabel="change, levels of 255")
    axes.legend()
    return drawn


def sheet(frames: np.ndarray, count: int = SHEET_FRAMES) -> Image.Image:
    """Frames at even distances, side by side, the first and the last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return Image.fromarray(np.concatenate([frames[index] for index in chosen], axis=1))


def png(picture: Figure | Image.Image) -> bytes:
    """A figure or picture as PNG of at most `MAX_PNG` bytes: with fewer colours, then smaller, where it must be."""
    image = (picture if isinstance(picture, Image.Image) else _rendered(picture)).convert("RGB")
    data = _bytes(image)
    for colours in (256, 64):
        if len(data) > MAX_PNG:
            data = _bytes(image.quantize(colours, dither=Image.Dither.NONE))
    while len(data) > MAX_PNG:
        factor = min(0.9, (MAX_PNG / len(data)) ** 0.5)
        image = image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.LANCZOS)
        data = _bytes(image.quantize(64, dither=Image.Dither.NONE))
    return data


def _rendered(figure: Figure) -> Image.Image:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return Image.open(stream)


def _bytes(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
