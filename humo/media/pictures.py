"""Reads pictures: upright, in sRGB, 8 bits a channel, transparent parts on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from humo.media.kinds import existing_file, kind_of

MAX_PIXELS = 32_000_000
"""Largest picture, width times height."""
MIN_SIDE = 16
"""Smallest side of a picture, pixels."""
_PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")
_PICTURES_ASKED = "give a PNG, JPEG, WebP, GIF, BMP or TIFF picture"


def read_picture(picture: str | Path | Image.Image) -> Image.Image:
    """Read and check a picture.

    Args:
        picture: a path, or a picture that is already open.

    Returns:
        RGB picture, 8 bits, upright (EXIF rotation applied), transparent parts on white; of an animation the
        first image.

    Raises:
        ValueError: if it is missing, empty, not a raster picture by its content, damaged, larger than 32
            megapixels or smaller than 16 pixels on a side.
    """
    if isinstance(picture, Image.Image):
        _check_picture_size(picture, "picture")
        return _upright_rgb(picture)
    if not isinstance(picture, str | Path):
        raise ValueError(f"picture is a {type(picture).__name__}: give the path of a file, or a picture of PIL.")
    path = existing_file(picture, "picture")
    kind = kind_of(path)
    if kind == "SVG":
        raise ValueError(f"picture {path.name} is an SVG drawing, not pixels: {_PICTURES_ASKED}.")
    if kind not in _PICTURES:
        found = "has no picture inside" if kind == "unknown" else f"holds {kind} data, not a picture that we read"
        raise ValueError(f"picture {path.name} {found}: {_PICTURES_ASKED}.")
    try:
        with Image.open(path, formats=[kind]) as opened:
            _check_picture_size(opened, f"picture {path.name}")
            return _upright_rgb(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"picture {path.name} has far too many pixels: at most 32 megapixels, shrink it.") from None
    except _Refused:
        raise
    except Exception:  # PIL's decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise ValueError(f"picture {path.name} is damaged and cannot be decoded: save it again as PNG.") from None


class _Refused(ValueError):
    """A sentence of ours, told apart from the ValueErrors of PIL's decoders."""


def _check_picture_size(picture: Image.Image, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _Refused(
            f"{name} has {width}x{height} = {width * height / 1e6:.0f} megapixels, at most "
            f"{MAX_PIXELS // 10**6} are allowed: shrink it."
        )
    if min(width, height) < MIN_SIDE:
        raise _Refused(f"{name} has {width}x{height} pixels, at least {MIN_SIDE} a side are needed: give a larger one.")


def _upright_rgb(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # PIL would clip 16-bit grey to 255 instead of scaling it
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
