"""What a text leaves open is decided once for a live video, for there it could change while somebody looks. Ours.

A clip draws what nobody names as it likes, and keeps it to its end. A live video is made of pieces that know only the
last second: what neither text nor picture holds fast wanders from piece to piece, such as the wall behind the person.
"""

from __future__ import annotations

import random

from humo.system.ranges import MAX_PROMPT_LENGTH


def settle(prompt: str, seed: int, notes: list[str]) -> str:
    """Write into a prompt for a model of drawn people which clothes and which background there are.

    Args:
        prompt: in the model's own words or anybody's.
        seed: decides.
        notes: told what was decided.

    Returns:
        The prompt in the model's own words; as it is, where it says all or would become too long.
    """
    from humo.portrait import ATTRIBUTES  # the world, of which other models know nothing
    from humo.portrait.caption import OUTSIDE
    from humo.wording import understand
    from humo.wording.vocabulary import add_words

    understood, draw = understand(prompt), random.Random(seed)
    text, chosen = understood.prompt, {name: draw.choice(ATTRIBUTES[name]) for name in OUTSIDE}
    added = {name: value for name, value in chosen.items() if name not in understood.attributes}
    for name, value in added.items():
        text = add_words(text, name, value)
    if not added or len(text) > MAX_PROMPT_LENGTH:
        return prompt
    notes.append(f"Decided for the whole live video, as the text leaves it open: {', '.join(added.values())}.")
    return text
