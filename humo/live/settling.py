"""What text and picture leave open is decided once for a live video, for there it could change while somebody looks.

A clip draws what nobody names as it likes, and keeps it to its end. A live video is made of pieces that know only the
last second: what neither text nor picture holds fast wanders from piece to piece, such as the wall behind the person,
or who they are. So a model of drawn people is told the clothes and the wall, and shown a person. Ours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from humo.requests.call import Call
from humo.system.ranges import MAX_PROMPT_LENGTH


def settle(call: Call, size: int) -> Call:
    """Decide what a call for a model of drawn people leaves open, by its seed.

    Args:
        call: what was asked for; its notes are told what was decided.
        size: side of the drawing, pixels.

    Returns:
        The call whose prompt names clothes and background, if it does not become too long, and which has a picture:
        of somebody whom the text describes, where it has none.
    """
    from humo.portrait import Portrait, draw_portrait  # the world, of which other models know nothing
    from humo.portrait.caption import OUTSIDE
    from humo.wording import understand
    from humo.wording.vocabulary import add_words
    from humo.world.people import sample_person, sample_setting

    understood, rng = understand(call.read_request.prompt), np.random.default_rng(call.request.seed)
    named = {name: value for name, value in understood.attributes.items() if name in Portrait.__dataclass_fields__}
    person, setting = sample_person(rng), sample_setting(rng)
    while person.gender != named.get("gender", person.gender):
        person = sample_person(rng)
    looks = {name: getattr(person, name) for name in ("gender", "skin", "hair_style", "hair_colour", "eye_colour")}
    chosen = {name: getattr(setting, name) for name in OUTSIDE} | named
    prompt = understood.prompt
    for name in OUTSIDE:
        prompt = prompt if name in named else add_words(prompt, name, chosen[name])
    if prompt != understood.prompt and len(prompt) <= MAX_PROMPT_LENGTH:
        call.notes.append(f"What the text leaves open is decided for the whole live video: {prompt}.")
        call = replace(call, prompt_read=prompt)
    if call.pictures:
        return call
    portrait = Portrait(**{"glasses": "none", "beard": "none", **looks, **chosen})
    call.notes.append("Without a picture somebody was drawn whom the text describes, so that they stay who they are.")
    request, pictures = replace(call.request, num_images=1), [draw_portrait(portrait, size)]
    return replace(call, request=request, pictures=pictures, portrait=portrait)
