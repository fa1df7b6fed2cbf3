"""The HTML of the result panel: what stands where the video will be while there is none yet."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

from humo.space.jobs import Phase, Progress, Result

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
        return _frame(_FACE, "is-empty", "Your video appears here.", "", None)
    words, detail = _words(progress)
    share = progress.step / progress.num_steps if progress.num_steps else None
    picture = _picture(progress) or _FACE
    state = "is-running" if not progress.phase.is_over else "is-over"
    return _frame(picture, state, words, detail, None if progress.phase.is_over else (share,))


def _frame(picture: str, state: str, words: str, detail: str, bar: tuple[float | None] | None) -> str:
    if bar is None:
        progress = ""
    elif bar[0] is None:
        progress = '<progress aria-label="Progress"></progress>'
    else:
        progress = f'<progress aria-label="Progress" max="100" value="{100 * bar[0]:.0f}"></progress>'
    return (
        f'<div class="humo-stage {state}"><div class="humo-picture">{picture}</div>'
        f'<div class="humo-words"><span role="status" aria-atomic="true">{html.escape(words)}</span>'
        f'<span class="humo-detail">{html.escape(detail)}</span></div>{progress}</div>'
    )


def _words(progress: Progress) -> tuple[str, str]:
    """What is happening, and how long it still takes."""
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
        return f"Step {progress.step} of {progress.num_steps}", _seconds_left(progress.seconds_left)
    if progress.phase is Phase.FINISHING:
        return f"Step {progress.num_steps} of {progress.num_steps}", "writing the video"
    if progress.phase is Phase.STOPPED:
        return "Stopped", f"after step {progress.step} of {progress.num_steps}" if progress.num_steps else ""
    if progress.phase is Phase.FAILED:
        return sentence(progress.error), ""
    return "Done", ""


def _seconds_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"about {max(1, round(seconds))} s left" if seconds < 90 else f"about {seconds / 60:.0f} minutes left"


def _picture(progress: Progress) -> str:
    if progress.preview is None:
        return ""
    return f'<img src="{data_uri(progress.preview)}" alt="Preview after step {progress.step} of {progress.num_steps}">'


def sentence(text: str) -> str:
    """The text with a capital letter at its beginning: errors begin with the name of an argument."""
    return text[:1].upper() + text[1:]


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
