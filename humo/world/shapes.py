"""Antialiased shapes: a table of ellipses and rounded boxes, painted by one compiled loop.

A `Scene` collects shapes over time: every number may be a scalar or an array with one value per frame, so a person is
described once for a whole clip. `Scene.paint` walks over the shapes of each frame in order and blends each with its
signed distance as coverage. Coordinates are fractions of the picture's side, so one scene serves every size.

Legend: t frames, n shapes, s side of the picture in pixels.
"""

from __future__ import annotations

import math

import numba
import numpy as np

ELLIPSE, BOX = 0, 1
_FIELDS = 15  # kind, x, y, rx, ry, corner, cos, sin, stroke, red, green, blue, alpha, clip, fade

Value = float | np.ndarray
Colour = tuple[float, ...]


class Scene:
    """Shapes of a clip, painted back to front.

    Args:
        num_frames: frames that arrays given to `ellipse` and `box` must have.
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames
        self._rows: list[tuple[Value, ...]] = []

    def ellipse(self, x: Value, y: Value, rx: Value, ry: Value, colour: Colour, **look: Value) -> int:
        """Adds an ellipse with centre (x, y) and radii (rx, ry); see `_add` for the look. Returns its index."""
        return self._add(ELLIPSE, x, y, rx, ry, colour, **look)

    def box(self, x: Value, y: Value, rx: Value, ry: Value, colour: Colour, **look: Value) -> int:
        """Adds a box with centre (x, y), half sides (rx, ry) and rounded corners. Returns its index."""
        return self._add(BOX, x, y, rx, ry, colour, **look)

    def _add(
        self,
        kind: int,
        x: Value,
        y: Value,
        rx: Value,
        ry: Value,
        colour: Colour,
        corner: Value = 0.0,
        angle: Value = 0.0,
        stroke: Value = 0.0,
        alpha: Value = 1.0,
        clip: Value = -1,
        fade: Value = 0.0,
    ) -> int:
        """Adds a row to the table; all lengths are fractions of the side.

        corner: radius of a box's corners; angle: radians, clockwise on the screen; stroke: width of the outline, 0
        fills; alpha: opacity; clip: index of a shape outside of which nothing is painted; fade: width of a soft edge.
        """
        red, green, blue = colour
        cos, sin = np.cos(angle), np.sin(angle)
        self._rows.append((kind, x, y, rx, ry, corner, cos, sin, stroke, red, green, blue, alpha, clip, fade))
        return len(self._rows) - 1

    def table(self) -> np.ndarray:
        """The shapes as numbers, (t, n, 15) float32."""
        table = np.empty((self.num_frames, len(self._rows), _FIELDS), np.float32)
        for index, row in enumerate(self._rows):
            for field, value in enumerate(row):
                table[:, index, field] = value
        return table

    def paint(self, frames: np.ndarray) -> np.ndarray:
        """Paints the scene over `frames`, (t, s, s, 3) float32 in 0..255, in place, and returns them."""
        _paint(frames, self.table())
        return frames

    def coverage(self, index: int, size: int) -> np.ndarray:
        """How much of each pixel one filled shape covers, (t, size, size) float32 in 0..1."""
        out = np.zeros((self.num_frames, size, size), np.float32)
        _cover(out, self.table()[:, index])
        return out


@numba.njit(cache=True, fastmath=True, inline="always")
def _distance(shape: np.ndarray, px: float, py: float, size: float) -> float:
    """Signed distance in pixels from (px, py), in pixels, to the outline of the shape; negative inside."""
    dx, dy = px - shape[1] * size, py - shape[2] * size
    x = dx * shape[6] + dy * shape[7]
    y = dy * shape[6] - dx * shape[7]
    rx, ry = max(shape[3] * size, 1e-3), max(shape[4] * size, 1e-3)
    if shape[0] == 0:
        u, v = x / rx, y / ry
        k0 = math.sqrt(u * u + v * v)
        k1 = math.sqrt((u / rx) ** 2 + (v / ry) ** 2)
        distance = -min(rx, ry) if k1 < 1e-6 else k0 * (k0 - 1.0) / k1
    else:
        corner = min(shape[5] * size, rx, ry)
        qx, qy = abs(x) - rx + corner, abs(y) - ry + corner
        ox, oy = max(qx, 0.0), max(qy, 0.0)
        distance = math.sqrt(ox * ox + oy * oy) + min(max(qx, qy), 0.0) - corner
    if shape[8] > 0:
        distance = abs(distance) - 0.5 * shape[8] * size
    return distance


@numba.njit(cache=True, fastmath=True, inline="always")
def _bounds(shape: np.ndarray, size: int) -> tuple[int, int, int, int]:
    """Pixels that the shape can touch: x from, x to, y from, y to."""
    margin = (0.5 * shape[8] + 0.5 * shape[14]) * size + 1.5
    cos, sin = abs(shape[6]), abs(shape[7])
    wide = (shape[3] * cos + shape[4] * sin) * size + margin
    high = (shape[3] * sin + shape[4] * cos) * size + margin
    x, y = shape[1] * size, shape[2] * size
    return (
        max(0, int(x - wide)),
        min(size, int(x + wide) + 2),
        max(0, int(y - high)),
        min(size, int(y + high) + 2),
    )


@numba.njit(cache=True, fastmath=True)
def _paint(frames: np.ndarray, table: np.ndarray) -> None:
    size = frames.shape[1]
    for frame in range(frames.shape[0]):
        picture = frames[frame]
        for index in range(table.shape[1]):
            shape = table[frame, index]
            clip = int(shape[13])
            soft = 1.0 / (1.0 + shape[14] * size)
            x0, x1, y0, y1 = _bounds(shape, size)
            for row in range(y0, y1):
                for column in range(x0, x1):
                    distance = _distance(shape, column + 0.5, row + 0.5, size)
                    cover = min(max(0.5 - distance * soft, 0.0), 1.0) * shape[12]
                    if cover <= 0.0:
                        continue
                    if clip >= 0:
                        inside = _distance(table[frame, clip], column + 0.5, row + 0.5, size)
                        cover *= min(max(0.5 - inside, 0.0), 1.0)
                    for channel in range(3):
                        old = picture[row, column, channel]
                        picture[row, column, channel] = old + cover * (shape[9 + channel] - old)


@numba.njit(cache=True, fastmath=True)
def _cover(out: np.ndarray, shapes: np.ndarray) -> None:
    size = out.shape[1]
    for frame in range(out.shape[0]):
        x0, x1, y0, y1 = _bounds(shapes[frame], size)
        for row in range(y0, y1):
            for column in range(x0, x1):
                distance = _distance(shapes[frame], column + 0.5, row + 0.5, size)
                out[frame, row, column] = min(max(0.5 - distance, 0.0), 1.0)
