"""What became of a text, in sentences for whoever wrote it. Ours."""

from __future__ import annotations

from collections.abc import Sequence

from humo.wording.understanding import Understood, understand


def reword(prompts: Sequence[str], notes: list[str]) -> list[Understood]:
    """Read texts for a model of drawn people.

    Args:
        prompts: as written.
        notes: told what is drawn otherwise, and what is not.

    Returns:
        What is understood, a text each.
    """
    read = [understand(prompt) for prompt in prompts]
    notes += dict.fromkeys(note for each in read for note in tell(each))
    return read


def tell(understood: Understood) -> list[str]:
    """Sentences for what is replaced and what is not drawn; none where the text is read as it is written."""
    notes = []
    if understood.replaced:
        pairs = ", ".join(f"{theirs}: {ours}" for theirs, ours in dict(understood.replaced).items())
        notes.append(f"This model draws the nearest that it knows: {pairs}.")
    if understood.unknown:
        notes.append(f"This model cannot draw: {', '.join(dict.fromkeys(understood.unknown))}.")
    if understood.denied:
        notes.append(f"Kept out by the negative prompt, where none is given: {understood.denied}")
    if not understood.is_as_written:
        notes.append(f"The model reads: {understood.prompt}")
    return notes
