"""A photograph given to a model of drawn people: it is drawn, and what a reference does not carry goes into the text."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from humo.inputs import MAX_PROMPT_LENGTH
from humo.portrait.caption import complete_prompt, describe_portrait
from humo.portrait.drawing import draw_portrait
from humo.portrait.drawn import is_drawing
from humo.portrait.portrait import Portrait


def draw_photographs(
    pictures: Sequence[Image.Image], prompts: Sequence[str], notes: list[str], size: int = 128
) -> tuple[list[Image.Image], list[str], Portrait | None]:
    """Put drawings in the place of photographs, and into the prompts what a reference does not carry.

    Args:
        pictures: references, upright RGB.
        prompts: the visitor's texts.
        notes: told what was read, drawn and written.
        size: side of the drawings, pixels.

    Returns:
        The pictures with every photograph drawn; the prompts with clothes and background of the first photograph where
        they name none; and what was read of that, None if all pictures are drawings.

    Raises:
        ValueError: if a photograph shows no face that can be read.
    """
    shown, portraits = [], []
    for picture in pictures:
        if not is_drawing(picture):
            portraits.append(_read(picture))
            _tell(portraits[-1], notes)
            picture = draw_portrait(portraits[-1], size)
        shown.append(picture)
    if not portraits:
        return shown, list(prompts), None
    completed = [_complete(prompt, portraits[0], notes) for prompt in prompts]
    return shown, completed, portraits[0]


def _read(picture: Image.Image) -> Portrait:
    from humo.portrait.reading import NoFace, read_portrait  # OpenCV, which drawings do not need

    try:
        return read_portrait(picture)
    except NoFace as error:
        reason = str(error).removesuffix(".")
        raise ValueError(f"{reason}, or show it to the model as it is (as_is=True, --as-is).") from None


def _tell(portrait: Portrait, notes: list[str]) -> None:
    notes.append(f"This model knows drawn people only: the photograph was drawn. {describe_portrait(portrait)}.")
    if portrait.others:
        notes.append(f"Of the {portrait.others + 1} faces in the photograph the largest was drawn.")


def _complete(prompt: str, portrait: Portrait, notes: list[str]) -> str:
    """The prompt with what it does not name, unless that makes it longer than a prompt may be."""
    completed, added = complete_prompt(prompt, portrait)
    if not added or len(completed) > MAX_PROMPT_LENGTH:
        return prompt
    notes.append(f"The text was completed from the photograph ({', '.join(added.values())}): {completed}")
    return completed
