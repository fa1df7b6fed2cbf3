"""Below a prompt, while it is written: what the small model reads of it, what it draws otherwise, what it cannot draw.

Ours.
"""

from __future__ import annotations

import html

import gradio as gr

from humo.space.page.widgets import QUICK
from humo.wording import Understood, understand
from humo.wording.hints import nearest_things


def add_reading(prompt: gr.Textbox, key: str) -> None:
    """Put the view below a prompt, and keep it up with what is written there.

    Args:
        prompt: in which the visitor writes.
        key: of its tab.
    """
    shown = gr.HTML(elem_id=f"reading-{key}")
    prompt.change(reading, prompt, shown, trigger_mode="always_last", **QUICK)


def reading(prompt: str | None) -> str:
    """HTML of what becomes of a text; empty for an empty one.

    What is read is underlined, what is replaced is underlined with dashes, what cannot be drawn is crossed out; a list
    tells the same in words, which a screen reader hears.
    """
    if not prompt or not prompt.strip():
        return ""
    understood = understand(prompt)
    return f'<div class="humo-reading"><p dir="auto">{_marked(understood)}</p>{_told(understood)}</div>'


def _marked(understood: Understood) -> str:
    """The visitor's text with its words marked."""
    text, parts, end = understood.text, [], 0
    for span in understood.spans:
        word = html.escape(text[span.start : span.end])
        parts.append(html.escape(text[end : span.start]))
        tag = "del" if span.kind == "unknown" else "span"
        parts.append(f'<{tag} class="is-{span.kind}">{word}</{tag}>')
        end = span.end
    return "".join([*parts, html.escape(text[end:])])


def _told(understood: Understood) -> str:
    """The list, and what the model reads in the end."""
    lines = [f"{_quoted(theirs)}: drawn as {html.escape(ours)}" for theirs, ours in dict(understood.replaced).items()]
    for theirs in dict.fromkeys(understood.unknown):
        lines.append(f"{_quoted(theirs)}: cannot be drawn. Nearest: {html.escape(nearest_things(theirs))}")
    items = f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""
    read = "" if understood.is_as_written else f"<p>The model reads: {html.escape(understood.prompt)}</p>"
    summary = items + read or "<p>The model reads all of it.</p>"
    return f'<div role="status" aria-live="polite">{summary}</div>'


def _quoted(theirs: str) -> str:
    return f'<q dir="auto">{html.escape(theirs)}</q>'
