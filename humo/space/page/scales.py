"""Guidance in a visitor's words: the rules to choose from, their scales, and what no slider shows."""

from __future__ import annotations

from humo.guidance import RULES, describe_rule, make_rule
from humo.space.jobs.request import Defaults

SCALES = (
    ("text", "Text", "Higher follows the words more closely; too high burns the colours.", 0, 10, 0.1),
    ("image", "Picture", "Higher keeps the person's looks more strictly.", 0, 10, 0.1),
    ("audio", "Voice", "Higher moves the mouth more clearly.", 0, 10, 0.1),
    (
        "switch",
        "Switch",
        "Timestep, of 1000 to 0, at which the early scales give way to the late ones.",
        0,
        1000,
        10,
    ),
    (
        "until",
        "Until",
        "Timestep below which nothing is steered any more: fewer passes, calmer edges; 0 steers to the end.",
        0,
        1000,
        10,
    ),
)
"""Name in the guidance rule, label, explanation, lowest, highest, step."""
_THINGS = {"text": "text", "image": "picture", "audio": "voice"}


def rule_choices(own: str) -> list[tuple[str, str]]:
    """Label and name of every rule of `humo.guidance`.

    Args:
        own: name of the model's own rule; it comes first.
    """
    return [(f"{own} (this model's own)", own), *((name, name) for name in RULES if name != own)]


def rule_note(defaults: Defaults) -> str:
    """What a rule does that its sliders do not show, in sentences; empty if they show all."""
    values = describe_rule(make_rule(defaults.guidance))
    sentences = [f"This rule has no scale for the {thing}." for name, thing in _THINGS.items() if name not in values]
    changing = [thing for name, thing in _THINGS.items() if isinstance(values.get(name), dict)]
    sentences += [f"Its scale for the {thing} changes with time and stays as it is." for thing in changing]
    if early := values.get("early"):
        scales = ", ".join(f"{thing} {scale:g}" for thing, scale in zip(_THINGS.values(), early, strict=True))
        sentences.append(f"Until the switch it has other scales, which stay as they are: {scales}.")
    return " ".join(sentences)
