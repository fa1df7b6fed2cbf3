"""Any common name of a colour, and the nearest colour that mini draws.

Names are those of the xkcd survey and of CSS, which matplotlib carries; where both have one, what people called so in
the survey counts. Distances are those of CIE L*a*b* for textiles. Ours.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from humo.world.people import BACKGROUNDS, COLOURS, EYE_COLOURS, HAIR_COLOURS

RGB = tuple[float, float, float]

_KINDS = {"gray": "grey", "violet": "purple", "golden": "gold", "navy": "blue"}
"""Names that are a kind of another by their very meaning; CSS's navy leans to violet, the survey's is nearly black."""
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])
"""D65."""
DRAWN: dict[str, dict[str, tuple[RGB, ...]]] = {
    "colour": {name: (rgb,) for name, rgb in COLOURS.items()},
    # Walls are drawn in pale tones; a full one is the same colour to whoever asks for it.
    "background": {name: (rgb, *([COLOURS[name]] if name in COLOURS else [])) for name, rgb in BACKGROUNDS.items()},
    "hair_colour": {name: (rgb,) for name, rgb in HAIR_COLOURS.items()},
    "eye_colour": {name: (rgb,) for name, rgb in EYE_COLOURS.items()},
}
"""What mini draws: attribute, value, colours in sRGB 0 to 255."""
_TOO_PLAIN = {"light", "dark", "pale", "leather", "dust", "bland", "poo", "poop", "puke", "shit", "vomit", "snot",
              "booger", "bile", "barf", "tea", "ice", "water", "hospital", "spring", "wheat", "tree", "cloudy", "dirty",
              "faded", "very", "bright", "strong", "deep", "heather"}  # fmt: skip
"""Words of those lists that alone are no colour in a caption, or that say more than a colour."""


def to_lab(rgb: RGB) -> np.ndarray:
    """CIE L*a*b* (D65), (3,), of an sRGB colour in 0 to 255.

    Source: IEC 61966-2-1 and CIE 15.
    """
    value = np.asarray(rgb, float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = _TO_XYZ @ linear / _WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """How different two colours in L*a*b*, (3,) each, look on cloth: lightness counts half, and of strong colours the
    hue more than the strength, so that a dark red is a red and no black.

    Source: CIE 116-1995 (CIE94) with the weights for textiles and, as neither colour is the standard, the geometric
    mean of both chromas.
    """
    chromas = np.hypot(first[1:2], first[2:])[0], np.hypot(second[1:2], second[2:])[0]
    mean = float(np.sqrt(chromas[0] * chromas[1]))
    strength = chromas[0] - chromas[1]
    hue = max(0.0, float(np.sum((first[1:] - second[1:]) ** 2) - strength**2))
    return float(
        np.sqrt(
            ((first[0] - second[0]) / 2) ** 2 + (strength / (1 + 0.048 * mean)) ** 2 + hue / (1 + 0.014 * mean) ** 2
        )
    )


@cache
def names() -> dict[str, RGB]:
    """Every known name in small letters, to sRGB in 0 to 255."""
    from matplotlib.colors import CSS4_COLORS, XKCD_COLORS, to_rgb  # slow to import

    found = {}
    for name, code in {**CSS4_COLORS, **{key.removeprefix("xkcd:"): code for key, code in XKCD_COLORS.items()}}.items():
        name = name.replace("/", " ").replace("'", "")
        if name not in _TOO_PLAIN:
            red, green, blue = to_rgb(code)
            found[name] = (255 * red, 255 * green, 255 * blue)
    found |= {name.replace("gray", "grey"): rgb for name, rgb in found.items()}
    return found | _OWN


_OWN = {
    "blond": (236.0, 200.0, 96.0), "silver": (192.0, 192.0, 192.0), "cream": (250.0, 245.0, 230.0),
    "off white": (245.0, 245.0, 235.0), "nude": (227.0, 188.0, 154.0), "bordeaux": (123.0, 0.0, 44.0),
    "denim": (59.0, 99.0, 140.0), "emerald": (1.0, 160.0, 73.0), "metallic": (192.0, 192.0, 192.0),
    "ivory": (250.0, 248.0, 235.0), "jade": (31.0, 167.0, 116.0), "brass": (181.0, 166.0, 66.0),
    "bronze": (168.0, 121.0, 0.0), "platinum": (229.0, 228.0, 226.0), "champagne": (247.0, 231.0, 206.0),
}  # fmt: skip
"""Names that neither list has, or whose colour there is a surprise on cloth."""


@cache
def nearest(name: str, attribute: str) -> str | None:
    """What mini draws for the name of a colour.

    A name that ends in a colour which is drawn is that one ("navy blue", "dark green"), whatever its distance.

    Args:
        name: in English, small letters, such as "dark olive".
        attribute: "colour" (of clothes), "background", "hair_colour" or "eye_colour".

    Returns:
        Value of the attribute; None where nobody knows the name.
    """
    last = name.split()[-1]
    last = _KINDS.get(last, last)
    if last in DRAWN[attribute]:
        return last
    rgb = find(name)
    if rgb is None:
        return None
    here = to_lab(rgb)
    distances = {
        value: min(distance(to_lab(each), here) for each in tones) for value, tones in DRAWN[attribute].items()
    }
    return min(distances, key=distances.__getitem__)


def find(name: str) -> RGB | None:
    """sRGB of a name; "light", "dark" and the like before one that has no entry of its own are mixed in."""
    if name in names():
        return names()[name]
    tone, _, rest = name.partition(" ")
    if tone not in _MIXED or not rest or (rgb := find(rest)) is None:
        return None
    target, share = _MIXED[tone]
    red, green, blue = (value + share * (target - value) for value in rgb)
    return red, green, blue


_MIXED = {"light": (255, 0.45), "pale": (255, 0.55), "dark": (0, 0.45), "deep": (0, 0.3), "bright": (255, 0.0)}
"""Towards white or black, and how far."""
