"""Reads pictures: upright, in sRGB, 8 bits a channel, transparent parts on white."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from humo.media.kinds import existing_file, kind_of

MAX_PIXELS = 32_000_000
"""Largest picture, width times height."""
MIN_SIDE = 16
"""Smallest side of a picture, pixels."""
_PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIC")
_ASKED = "give a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture"
_SAFE_TIFF = 12
"""Pillow's version from which its TIFF decoder is used: earlier wheels bundle a libtiff that writes out of bounds."""
_DEPTHS = (1.0, 255.0, 65_535.0)
"""Full scales of grey numbers of 32 bits, which do not tell it: the smallest that holds them all is meant."""
_WHITE_IS_ZERO, _PLANES, _SIGNED = 0, 2, 2
"""Values of a TIFF's tags: how black and white are told, where the colours lie, what the numbers are."""
_GAMMAS = (0.2, 5.0)
"""Exponents of a PNG that are believed."""
_SAME_GAMMA = 0.05
"""Relative difference from 1 / 2.2 up to which sRGB is meant, as in browsers."""


def read_picture(picture: str | Path | Image.Image | np.ndarray) -> Image.Image:
    """Read and check a picture.

    Args:
        picture: a path; a picture of PIL; or pixels, (h, w), (h, w, 3) or (h, w, 4), uint8 or floats in [0, 1].

    Returns:
        RGB picture, 8 bits, in sRGB, upright (EXIF rotation applied), transparent parts on white; of an animation the
        first image.

    Raises:
        ValueError: if it is missing, empty, not a raster picture by its content, damaged, larger than 32
            megapixels or smaller than 16 pixels on a side.
    """
    if isinstance(picture, np.ndarray):
        picture = _of_pixels(picture)
    if isinstance(picture, Image.Image):
        _check_size(picture, "picture")
        return _upright_rgb(picture, "picture")
    if not isinstance(picture, str | Path):
        raise ValueError(f"picture is a {type(picture).__name__}: give the path of a file, or a picture of PIL.")
    path = existing_file(picture, "picture")
    name, kind = f"picture {path.name}", kind_of(path)
    _check_kind(kind, name)
    try:
        with Image.open(path, formats=["HEIF" if kind == "HEIC" else kind]) as opened:
            _check_size(opened, name)
            return _upright_rgb(opened, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"{name} has far too many pixels: at most 32 megapixels, shrink it.") from None
    except _Refused:
        raise
    except Exception:  # PIL's decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        rare = ", or a TIFF of a rare kind," if kind == "TIFF" else ""
        raise ValueError(f"{name} is damaged{rare} and cannot be decoded: save it again as PNG.") from None


class _Refused(ValueError):
    """A sentence of ours, told apart from the ValueErrors of PIL's decoders."""


def _check_kind(kind: str, name: str) -> None:
    if kind == "SVG":
        raise ValueError(f"{name} is an SVG drawing, not pixels: {_ASKED}.")
    if kind not in _PICTURES:
        known = f"holds {kind} data, not a picture that we read"
        found = "has no picture inside that we know" if kind == "unknown" else known
        raise ValueError(f"{name} {found}: {_ASKED}.")
    if kind == "TIFF" and int(PIL.__version__.split(".")[0]) < _SAFE_TIFF:
        raise ValueError(f"{name} is a TIFF, which Pillow {PIL.__version__} does not read safely: save it as PNG.")
    if kind == "HEIC" and not _can_read_heic():
        raise ValueError(f"{name} is a HEIC, which needs the package pi-heif: pip install pi-heif, or save it as JPEG.")


def _can_read_heic() -> bool:
    """Let PIL read HEIC, the telephones' format, if the decoder is installed."""
    if find_spec("pi_heif") is None:
        return False
    from pi_heif import register_heif_opener

    register_heif_opener(thumbnails=False)
    return True


def _check_size(picture: Image.Image, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _Refused(
            f"{name} has {width}x{height} = {width * height / 1e6:.0f} megapixels, at most "
            f"{MAX_PIXELS // 10**6} are allowed: shrink it."
        )
    if min(width, height) < MIN_SIDE:
        raise _Refused(f"{name} has {width}x{height} pixels, at least {MIN_SIDE} a side are needed: give a larger one.")


def _of_pixels(pixels: np.ndarray) -> Image.Image:
    is_grey, is_colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
    if not is_grey and not is_colour:
        raise ValueError(f"picture has the shape {pixels.shape}: give pixels (h, w), (h, w, 3) or (h, w, 4).")
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise ValueError("picture has floats outside of [0, 1]: scale them, or give uint8.")
        pixels = np.rint(255 * pixels).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"picture has pixels of {pixels.dtype}: give uint8, or floats in [0, 1].")
    return Image.fromarray(pixels)


def _upright_rgb(picture: Image.Image, name: str) -> Image.Image:
    profile, tags = picture.info.get("icc_profile"), getattr(picture, "tag_v2", {})
    _check_tags(tags, name)
    picture = ImageOps.exif_transpose(picture)
    gamma = None if profile or "srgb" in picture.info else picture.info.get("gamma")
    if picture.mode.startswith("I;16") and "transparency" in picture.info:
        picture = _halved_grey(picture)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _scaled_grey(picture, name, tags)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        whole = picture.convert("RGBA")
        plain = picture.convert("L") if picture.mode in ("L", "LA") else whole.convert("RGB")
        colours = _to_srgb(plain, profile, gamma)
        colours.putalpha(whole.getchannel("A"))
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), colours).convert("RGB")
    return _to_srgb(picture, profile, gamma)


def _halved_grey(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8 bits, which PIL would clip instead of scaling it; transparent where it says so."""
    values = np.asarray(picture)
    halved = Image.fromarray((values >> 8).astype(np.uint8))
    if (number := picture.info.get("transparency")) is not None:
        halved.putalpha(Image.fromarray(np.where(values == number, 0, 255).astype(np.uint8)))
    return halved


def _check_tags(tags: Mapping[int, Any], name: str) -> None:
    """Refuse TIFFs that PIL 12.3 decodes wrongly without a word."""
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    is_apart = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == _PLANES and bits > 8
    if is_apart or (_is_signed(tags) and bits <= 8):
        form = f"{bits} bits a colour in separate planes" if is_apart else f"signed numbers of {bits} bits"
        raise _Refused(f"{name} is a TIFF of {form}, which we cannot decode: save it as PNG.")


def _is_signed(tags: Mapping[int, Any]) -> bool:
    return _SIGNED in tags.get(TiffImagePlugin.SAMPLEFORMAT, ())


def _scaled_grey(picture: Image.Image, name: str, tags: Mapping[int, Any]) -> Image.Image:
    """Grey numbers of more than 8 bits as 8; PIL would clip them, and keeps those upside down whose white is zero."""
    values = np.asarray(picture, np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > _DEPTHS[-1]:
        raise _Refused(f"{name} has grey values of 32 bits without a known full scale: save it with 8 bits.")
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (16 if picture.mode.startswith("I;16") else 32,)))
    if bits <= 16:
        full = 2.0 ** (bits - _is_signed(tags)) - 1
    else:
        full = next(depth for depth in _DEPTHS[picture.mode != "F" :] if values.max() <= depth)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        values = full - values
    return Image.fromarray(np.rint(values * (255 / full)).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes | None, gamma: float | None = None) -> Image.Image:
    """RGB in sRGB, from which every model learned; a profile that is broken or of other colours is passed over.

    Without a profile a PNG may say by which exponent its numbers were made of light.
    """
    picture = picture.convert("RGB") if picture.mode == "P" else picture
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if changed := ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB"):
                return changed
        except (ImageCms.PyCMSError, OSError):
            pass
    picture = picture.convert("RGB")
    if gamma is None or not _GAMMAS[0] <= gamma <= _GAMMAS[1] or abs(gamma * 2.2 - 1) < _SAME_GAMMA:
        return picture
    light = (np.arange(256) / 255) ** (1 / gamma)
    table = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return picture.point(np.rint(255 * table).astype(int).tolist() * 3)


_SRGB = ImageCms.createProfile("sRGB")
