"""Colour profiles, made by hand: littlecms can only make sRGB's, and telephones and cameras have wider ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

D50 = (0.96420, 1.0, 0.82491)
"""XYZ of the white that all profiles refer to."""
_SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
"""Columns: XYZ of red, green and blue at D50, as in the other ones."""
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""g, a, b, c, d of ICC's parametric curve: (a v + b)^g from d on, c v below."""


@dataclass(frozen=True, slots=True)
class Space:
    """Colours by three primaries and a curve."""

    name: str
    primaries: tuple[tuple[float, float, float], ...]
    curve: tuple[float, ...]
    """One exponent, or the five numbers of a curve."""

    def profile(self) -> bytes:
        """The ICC profile, of version 4."""
        columns = zip(*self.primaries, strict=True)
        tags = {b"desc": _text(self.name), b"cprt": _text("none"), b"wtpt": _xyz(D50)}
        tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(self.curve))
        return _profile(b"RGB ", tags)

    def values(self, colours: np.ndarray) -> np.ndarray:
        """What stands in a file for colours of sRGB, (..., 3), both in 0 to 255."""
        linear = _linear(np.asarray(colours, float) / 255, _SRGB_CURVE)
        there = linear @ (np.linalg.inv(self.primaries) @ np.array(_SRGB)).T
        return 255 * _curved(np.clip(there, 0, 1), self.curve)


P3 = Space(
    "Display P3", ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407)), _SRGB_CURVE
)
ADOBE = Space(
    "Adobe RGB", ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457)), (2.19921875,)
)
SPACES = (P3, ADOBE)


def grey_profile(exponent: float) -> bytes:
    """A profile of grey numbers."""
    tags = {b"desc": _text("grey"), b"cprt": _text("none"), b"wtpt": _xyz(D50), b"kTRC": _curve((exponent,))}
    return _profile(b"GRAY", tags)


def grey_values(colours: np.ndarray, exponent: float) -> np.ndarray:
    """What stands in a file for colours of sRGB where numbers have this exponent, 0 to 255."""
    return 255 * _linear(np.asarray(colours, float) / 255, _SRGB_CURVE) ** (1 / exponent)


def _linear(values: np.ndarray, curve: tuple[float, ...]) -> np.ndarray:
    if len(curve) == 1:
        return values ** curve[0]
    g, a, b, c, d = curve
    return np.where(values >= d, (a * values + b) ** g, c * values)


def _curved(linear: np.ndarray, curve: tuple[float, ...]) -> np.ndarray:
    if len(curve) == 1:
        return linear ** (1 / curve[0])
    g, a, b, c, d = curve
    return np.where(linear >= c * d, (linear ** (1 / g) - b) / a, linear / c)


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65_536) for number in numbers))


def _xyz(numbers: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*numbers)


def _text(words: str) -> bytes:
    encoded = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _curve(curve: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + _fixed(*curve)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data, begin = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", begin + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s6H4s", begin + len(data), b"\0" * 4, 0x04000000, b"mntr", space, b"XYZ ",
                       2020, 1, 1, 0, 0, 0, b"acsp")  # fmt: skip
    return head.ljust(68, b"\0") + _fixed(*D50) + bytes(48) + table + data
