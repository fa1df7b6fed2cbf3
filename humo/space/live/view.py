"""The live player on the page, and the event that begins a session for it. Ours."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from humo.space.jobs.admission import Admission
from humo.space.live.hub import LiveHub
from humo.space.page import html, texts
from humo.space.page.widgets import Inputs, Settings, read_request

PLAYER = Path(__file__).with_name("player.js").read_text(encoding="utf-8")
_SOURCES = (("microphone", "Microphone"), ("voice", "The voice above: uploaded, recorded, or spoken from a sentence"))
_TOLD = (
    ("delay", "From word to mouth"),
    ("factor", "Computing, in seconds a second"),
    ("underruns", "Times the picture had to wait"),
    ("losses", "Times the connection was lost"),
    ("left_out", "Left out"),
    ("caught_up", "Shortened in pauses"),
    ("time", "Time left"),
)
_INTRODUCTION = """<p class="humo-detail">Speak, and the person of this tab speaks along, less than two seconds later:
so long it takes until a word is heard to its end and drawn. With loudspeakers the microphone hears them too: use
headphones, or turn the sound off.</p>"""


def player(key: str) -> gr.HTML:
    """The player of a tab; it has a value once a session was asked for: {"id", "nonce"}, or {"error", "nonce"}.

    Args:
        key: of the tab.
    """
    with gr.Accordion("Speak live", open=False, elem_id=f"speak-live-{key}"):
        return gr.HTML(None, html_template=player_html(key), js_on_load=PLAYER, elem_id=f"player-{key}")


def player_html(key: str) -> str:
    """The player's parts.

    Args:
        key: of the tab, for names that no other tab has.
    """
    sources = "".join(
        f'<label><input type="radio" name="source-{key}" data-live="source" value="{value}"'
        f"{' checked' if value == _SOURCES[0][0] else ''}> {title}</label>"
        for value, title in _SOURCES
    )
    told = "".join(f'<dt>{title}</dt><dd data-live="told-{name}">–</dd>' for name, title in _TOLD)
    return f"""<div class="humo-live">{_INTRODUCTION}
<fieldset><legend>What is spoken</legend>{sources}</fieldset>
<div class="humo-live-buttons">
<button type="button" data-live="start" class="is-primary">Speak live</button>
<button type="button" data-live="stop" class="is-stop" hidden>Stop</button>
<button type="button" data-live="pause" aria-pressed="false" hidden>Pause</button>
<label><input type="checkbox" data-live="sound" checked> Play the sound</label></div>
<p role="status" data-live="status"></p>
<div class="humo-live-shown" data-live="shown" hidden>
<canvas data-live="canvas" width="128" height="128" role="img" aria-label="The drawn person, who speaks along"></canvas>
<dl>{told}</dl></div>
<p class="humo-detail" data-live="notes"></p></div>"""


def on_speak_live(
    inputs: Inputs, settings: Settings, hub: LiveHub, admission: Admission
) -> Callable[[dict[Any, Any], gr.Request, gr.EventData], dict[str, str]]:
    """The event of Speak live: begins a session for the person of the tab, without LoRAs, as its notes say.

    Args:
        inputs: of the tab.
        settings: what all tabs share.
        hub: has the one place.
        admission: knows the limits.
    """

    def begin(values: dict[Any, Any], request: gr.Request, told: gr.EventData) -> dict[str, str]:
        nonce = secrets.token_hex(8)
        try:
            speaks = getattr(told, "source", None) == "voice"
            ask, _ = read_request(values, inputs, settings, is_fast=True, is_live=not speaks)
            notes = [texts.WITHOUT_LORAS] * bool(ask.loras)
            voice = ask.audio if speaks else None
            ask = replace(ask, audio=voice, loras=())
            admission.check(ask)
            rate = getattr(told, "rate", None)
            with admission.granted(request):
                broadcast = hub.open(request.session_hash, replace(ask, audio=None), rate, voice, notes)
        except ValueError as error:
            return {"error": html.sentence(str(error)), "nonce": nonce}
        return {"id": broadcast.id, "nonce": nonce}

    return begin
