"""A picture in a frame of another shape, as the model sees a reference; without torch, so that a page can show it."""

from __future__ import annotations

from PIL import Image, ImageOps

WHITE = (255, 255, 255)


def letterbox(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Fit a picture into a frame without distorting it; what is left over is white.

    Args:
        picture: any size, RGB.
        height: pixels of the frame.
        width: pixels of the frame.

    Returns:
        RGB picture of width x height, the given one in its middle.

    Source: released code `load_image_latent_ref_id` (Lanczos, white).
    """
    scale = min(width / picture.width, height / picture.height)
    size = max(1, int(picture.width * scale + 1e-6)), max(1, int(picture.height * scale + 1e-6))
    fitted = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return ImageOps.expand(fitted, (left, top, width - size[0] - left, height - size[1] - top), fill=WHITE)
