"""How the region of a dub is made of the face that is found; light, so that a page can offer it at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from humo.system.ranges import short

MARGIN = 0.03
"""Share of the clip's height by which a found region grows."""


class Part(StrEnum):
    """How much of a face is made anew."""

    MOUTH = "mouth"
    FACE = "face"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a region is made of the face that is found."""

    part: Part | str = Part.MOUTH
    """The lower half of the face, or all of it."""
    margin: float | None = None
    """Pixels of the clip by which it grows on all sides; None for `MARGIN` of the clip's height."""
    sides: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Pixels by which it is pulled further to the left, up, to the right and down; below 0 it ends earlier."""

    def check(self, height: int) -> Shape:
        """The same with every value set.

        Args:
            height: of the clip, pixels.

        Raises:
            ValueError: if a number is none from 0, for sides from minus half the height, to half the height.
        """
        margin = MARGIN * height if self.margin is None else self.margin
        if self.part not in list(Part):
            raise ValueError(f"part is {short(self.part)}: use {' or '.join(Part)}.")
        if len(self.sides) != 4:
            raise ValueError(f"sides are {len(self.sides)} numbers: give four, for left, top, right and bottom.")
        for name, value, least in (
            ("margin", margin, 0),
            *(("each of sides", side, -height / 2) for side in self.sides),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= height / 2:
                raise ValueError(f"{name} is {short(value)}: give pixels of the clip, {least:g} to {height // 2}.")
        return replace(self, part=Part(self.part), margin=float(margin))
