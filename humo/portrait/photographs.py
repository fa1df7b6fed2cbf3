"""A photograph given to a model of drawn people: it is drawn, and what that does not carry goes into the text. Ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from humo.media import read_picture
from humo.portrait.caption import complete_prompt, describe_portrait
from humo.portrait.drawn import is_drawing
from humo.portrait.portrait import Portrait
from humo.system.ranges import MAX_PROMPT_LENGTH


def draw_photographs(
    pictures: Sequence[Image.Image | str | Path | Portrait], prompts: Sequence[str], notes: list[str], size: int = 128
) -> tuple[list[Image.Image], list[str], Portrait | None]:
    """Put drawings in the place of photographs, and into the prompts what a reference does not carry.

    Args:
        pictures: references; a portrait is drawn, as a photograph is once it is read.
        prompts: the visitor's texts.
        notes: told what was read, drawn and written.
        size: side of the drawings, pixels.

    Returns:
        The pictures with every photograph drawn; the prompts with clothes and background of the first photograph where
        they name none; and what was read of that, None if all pictures are drawings.

    Raises:
        ValueError: if a photograph shows no face that can be read.
    """
    seen = [picture if isinstance(picture, Portrait) else _read(read_picture(picture), notes) for picture in pictures]
    portraits = [each for each in seen if isinstance(each, Portrait)]
    if not portraits:
        return [each for each in seen if not isinstance(each, Portrait)], list(prompts), None
    from humo.portrait.drawing import draw_portrait  # a compiler, which drawings do not need

    shown = [draw_portrait(each, size) if isinstance(each, Portrait) else each for each in seen]
    return shown, [_complete(prompt, portraits[0], notes) for prompt in prompts], portraits[0]


def _read(picture: Image.Image, notes: list[str]) -> Image.Image | Portrait:
    """A drawing as it is, a photograph as what is read of it."""
    if is_drawing(picture):
        return picture
    from humo.portrait.reading import NoFace, read_portrait  # OpenCV, which drawings do not need

    try:
        portrait = read_portrait(picture)
    except NoFace as error:
        reason = str(error).removesuffix(".")
        raise ValueError(f"{reason}, or show it to the model as it is (as_is=True, --as-is).") from None
    _tell(portrait, notes)
    return portrait


def _tell(portrait: Portrait, notes: list[str]) -> None:
    notes.append(f"This model knows drawn people only: the photograph was drawn. {describe_portrait(portrait)}.")
    if portrait.others:
        notes.append(f"Of the {portrait.others + 1} faces in the photograph the largest was drawn.")


def _complete(prompt: str, portrait: Portrait, notes: list[str]) -> str:
    """The prompt with what it does not name, unless that makes it longer than a prompt may be."""
    completed, added = complete_prompt(prompt, portrait)
    if not added or len(completed) > MAX_PROMPT_LENGTH:
        return prompt
    notes.append(f"The text was completed from the picture ({', '.join(added.values())}): {completed}")
    return completed
