"""The HTML of the page that Gradio has no widget for: notes, facts, progress, words to press, links."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from humo.space.jobs.job import Phase, Progress

if TYPE_CHECKING:
    from humo.space.jobs.task import Result
    from humo.space.links.records import Record
    from humo.wording.vocabulary import Group

_FACE = (
    '<svg viewBox="0 0 120 120" aria-hidden="true"><path d="M22 112c4-24 20-34 38-34s34 10 38 34"/>'
    '<circle cx="60" cy="46" r="28"/><path d="M50 42v4M70 42v4"/><path class="mouth" d="M50 57q10 9 20 0z"/></svg>'
)
"""An outline of head and shoulders, for the empty stage."""


def stage(progress: Progress | None) -> str:
    """Preview, words and bar for a moment of a job.

    Args:
        progress: of the job, or None before the first one.

    Returns:
        HTML in which only the words of the step are a live region, so that a screen reader hears each step once and
        not each second.
    """
    if progress is None:
        return _frame(_FACE, "is-empty", _line("Your video appears here.", ""))
    picture = _picture(progress) or _FACE
    state = "is-running" if not progress.phase.is_over else "is-over"
    return _frame(picture, state, _words_and_bar(progress))


def progress(now: Progress) -> str:
    """Words and bar for a moment of a job that has no stage of its own."""
    return f'<div class="humo-stage">{_words_and_bar(now)}</div>'


def paragraphs(sentences: Sequence[str]) -> str:
    """Sentences below each other."""
    return "".join(f"<p>{html.escape(each)}</p>" for each in sentences)


def _frame(picture: str, state: str, below: str) -> str:
    return f'<div class="humo-stage {state}"><div class="humo-picture">{picture}</div>{below}</div>'


def _line(words: str, detail: str) -> str:
    return (
        f'<div class="humo-words"><span role="status" aria-atomic="true">{html.escape(words)}</span>'
        f'<span class="humo-detail">{html.escape(detail)}</span></div>'
    )


def _words_and_bar(now: Progress) -> str:
    line = _line(*words(now))
    if now.phase.is_over:
        return line
    share = f'max="100" value="{100 * now.step / now.num_steps:.0f}"' if now.num_steps else ""
    return f'{line}<progress aria-label="Progress" {share}></progress>'


def words(progress: Progress) -> tuple[str, str]:
    """What is happening in a moment of a job, and how long it still takes; the second may be empty."""
    if progress.phase is Phase.QUEUED:
        if progress.position == 0:
            return "Starting", ""
        others = "1 video is" if progress.position == 1 else f"{progress.position} videos are"
        return f"Waiting: {others} before yours", ""
    if progress.phase is Phase.LOADING:
        return "The model is being loaded", f"{progress.elapsed:.0f} s"
    if progress.phase is Phase.PREPARING:
        return "Reading your text, picture and voice", ""
    if progress.phase is Phase.DENOISING:
        step = progress.words or f"Step {progress.step} of {progress.num_steps}"
        return step, _seconds_left(progress.seconds_left)
    if progress.phase is Phase.FINISHING:
        return progress.words or f"Step {progress.num_steps} of {progress.num_steps}", "writing the video"
    if progress.phase is Phase.STOPPED:
        if progress.words:
            return "Stopped", f"at {progress.words[0].lower()}{progress.words[1:]}"
        return "Stopped", f"after step {progress.step} of {progress.num_steps}" if progress.num_steps else ""
    if progress.phase is Phase.FAILED:
        return sentence(progress.error or ""), ""
    return "Done", ""


def _seconds_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{_rounded(seconds)} left"


def _rounded(seconds: float) -> str:
    return f"about {max(1, round(seconds))} s" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


def _picture(progress: Progress) -> str:
    if progress.preview is None:
        return ""
    return f'<img src="{data_uri(progress.preview)}" alt="Preview after step {progress.step} of {progress.num_steps}">'


def sentence(text: str) -> str:
    """The text with a capital letter at its beginning: errors begin with the name of an argument."""
    return text[:1].upper() + text[1:]


def notice(text: str) -> str:
    """Something to know about the page as a whole; empty for nothing."""
    return f'<p class="humo-notice" role="status">{html.escape(text)}</p>' if text else ""


def estimate(seconds: float | None) -> str:
    """How long a video will take; empty if nobody knows yet."""
    if seconds is None:
        return ""
    return f'<p class="humo-label" role="status">Takes {_rounded(seconds)}.</p>'


def note(text: str) -> str:
    """Something to know about a setting, read out when it changes."""
    return f'<p class="humo-label" role="status">{html.escape(text)}</p>'


def data_uri(picture: Image.Image) -> str:
    """The picture inside the page itself: no file on the server's disk for something seen for a second."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85, method=1)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def summary(result: Result, seconds_taken: float) -> str:
    """What stands under a finished video."""
    sound = "with your sound" if result.has_sound else "without sound"
    facts = f"{result.seconds:.1f} s {sound} · seed {result.seed} · made in {seconds_taken:.0f} s"
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in result.notes)
    notes = f"<ul>{notes}</ul>" if notes else ""
    return f'<div class="humo-summary"><span role="status">Done</span> · {html.escape(facts)}{notes}</div>'


def chips(groups: Sequence[Group]) -> str:
    """Buttons for words, a row for each group."""
    rows = "".join(_chip_row(group, html.escape(group.title)) for group in groups)
    return f'<div class="humo-words-known">{rows}</div>'


def _chip_row(group: Group, title: str) -> str:
    words = "".join(_chip(group.key, word, index) for index, word in enumerate(group.words))
    return f'<div class="humo-chips" role="toolbar" aria-label="{title}"><span>{title}</span>{words}</div>'


def _chip(key: str, word: str, index: int) -> str:
    word, place = html.escape(word, quote=True), f'data-group="{key}" tabindex="{-1 if index else 0}"'
    return f'<button type="button" class="humo-chip" {place} data-word="{word}">{word}</button>'


def link(address: str) -> str:
    """The address of a shared generation: to be clicked, selected, or copied where the browser allows it."""
    safe = html.escape(address, quote=True)
    return (
        f'<div class="humo-link"><a href="{safe}" target="_blank" rel="noopener">{safe}</a>'
        f'<button type="button" class="humo-chip" data-copy="{safe}">Copy</button>'
        '<span role="status"></span></div>'
    )


COPY = """
element.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const told = button.nextElementSibling;
    try {
        await navigator.clipboard.writeText(button.dataset.copy);
        told.textContent = 'Copied.';
    } catch {  // refused, as in a frame of another site: the address is selected, so that a key copies it
        getSelection().selectAllChildren(button.previousElementSibling);
        told.textContent = 'Not copied: the browser refused. The address is selected, copy it with Ctrl+C.';
    }
});
"""
"""Script of a `gr.HTML` that holds `link`."""


def facts(record: Record) -> str:
    """Inputs and settings of a shared generation as a table."""
    settings = record.settings
    scales = ", ".join(f"{name} {_plain(value)}" for name, value in settings.guidance.items())
    rows = {
        "Made from": _MADE_FROM[settings.mode].replace("picture", _count_pictures(settings.num_images)),
        "Length": f"{record.seconds:.2f} s, {settings.num_frames} frames of {settings.width} × {settings.height}",
        "Seed": settings.seed,
        "Steps": settings.num_inference_steps,
        "Guidance": scales,
        "Model": " ".join(filter(None, (settings.model, record.fingerprint))),
        "Made": record.created.replace("T", " ").replace("Z", " UTC"),
    }
    if settings.audio_shift:
        rows["Shift of the mouth"] = f"{settings.audio_shift:+d} ms"
    if settings.loras:
        rows["LoRAs"] = ", ".join(f"{each.name} × {each.weight:g}" for each in settings.loras)
    if settings.prompt_read:
        rows["The model read"] = settings.prompt_read
    cells = "".join(f"<tr><th scope='row'>{name}</th><td>{html.escape(str(v))}</td></tr>" for name, v in rows.items())
    told = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in (*record.notes, record.missing_note) if sentence)
    return f'<table class="humo-facts">{cells}</table><div class="humo-told">{told}</div>'


_MADE_FROM = {
    "T": "text",
    "TI": "text and picture",
    "TA": "text and voice",
    "TIA": "text, picture and voice",
}


def _count_pictures(number: int) -> str:
    return "picture" if number < 2 else f"{number} pictures"


def _plain(value: object) -> str:
    """A scale of a rule as a visitor reads it."""
    if isinstance(value, list):
        return "/".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
