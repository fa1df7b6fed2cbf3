"""What the model will really see and hear: the picture in its white frame, the sound with its windows.

Each is HTML with the same in words. The sound is drawn with the page's own colours, so that it is read in light and
dark, from numbers that the pipeline would take too (`humo.requests.checks`, `humo.audio`), without importing torch.
Ours.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
from PIL import Image

from humo.media import Sound
from humo.media.letterbox import letterbox
from humo.media.voice_activity import find_pauses, find_speech
from humo.space.jobs.request import frames_of
from humo.space.page.html import data_uri
from humo.timing import FPS, FRAMES_PER_LATENT, SAMPLE_RATE, count_latents

WINDOW = 8
"""Video frames of a latent frame, and the features that it hears: two more on each side (`humo.audio`)."""
SMALL_SIDE = 256
"""Pictures with no longer side show their pixels as squares, for a smooth enlargement would show more than there is."""
MIN_PAUSE = 0.2
"""Seconds; the mouth hardly rests in shorter ones."""
COLUMNS, HEIGHT, LANE = 320, 64, 7
"""Of the drawing: bars, units of the wave's height, height of a lane of windows."""
MAX_DRAWN = 160
"""Windows; more would be thinner than a pixel."""


def seen_html(picture: Image.Image, height: int, width: int, words: str | None = None) -> str:
    """A picture as the model sees it: fitted into its frame, the rest white.

    Args:
        picture: RGB, as `humo.media.read_picture` gives it.
        height: pixels of the video.
        width: pixels of the video.
        words: below it; None for those of `describe_picture`.

    Returns:
        HTML of a figure; small pictures are shown pixel by pixel.
    """
    shown = letterbox(picture, height, width)
    words = describe_picture(picture.size, height, width) if words is None else words
    pixels = "image-rendering:pixelated;" if max(height, width) <= SMALL_SIDE else ""
    style = f"{pixels}width:100%;max-width:{SMALL_SIDE}px;aspect-ratio:{width}/{height};margin:0;display:block;"
    style += "border:1px solid var(--border-color-primary);border-radius:var(--radius-md)"
    image = f'<img src="{data_uri(shown)}" alt="What the model sees" style="{style}">'
    return figure("humo-seen", image, words)


def describe_picture(size: tuple[int, int], height: int, width: int) -> str:
    """In words what `seen_html` shows.

    Args:
        size: width and height of the given picture.
        height: pixels of the video.
        width: pixels of the video.
    """
    scale = min(width / size[0], height / size[1])
    shares = {"left and right": 1 - size[0] * scale / width, "above and below": 1 - size[1] * scale / height}
    where, share = max(shares.items(), key=lambda each: each[1])
    white = f"white {where}: {share:.0%} of the frame" if share > 0.02 else "filling the frame"
    enlarged = f" It is enlarged from {size[0]} x {size[1]}: a larger one shows more." if scale > 1.5 else ""
    return f"The model sees {width} x {height} pixels, {white}.{enlarged}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundPreview:
    """What the model makes of a sound."""

    duration: float
    """Seconds of the sound."""
    num_frames: int
    """Video frames, 4k+1."""
    has_speech: bool
    """Whether somebody speaks in the sound."""
    pauses: tuple[tuple[float, float], ...]
    """(begin, end) in seconds where nobody speaks within the video; empty without speech."""

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / FPS

    @property
    def num_windows(self) -> int:
        """Latent frames, each of which hears a window of its own."""
        return count_latents(self.num_frames)

    def window(self, index: int) -> tuple[float, float]:
        """(begin, end) in seconds of what a latent frame hears; may reach beyond the sound, where there is silence."""
        end = FRAMES_PER_LATENT * index + WINDOW - FRAMES_PER_LATENT - 1
        return (end - WINDOW) / FPS, end / FPS


def preview_sound(sound: Sound, max_frames: int | None, num_frames: int | None = None) -> SoundPreview:
    """Find out what the model will hear, as `humo.requests.checks.choose_num_frames` decides.

    Args:
        sound: as `humo.media.read_sound` gives it.
        max_frames: longest video in frames, None for no limit.
        num_frames: of the video, where it does not follow the sound.
    """
    if num_frames is None:
        num_frames = frames_of(sound, max_frames)
    speech = find_speech(sound.waveform)
    last = min(sound.duration, num_frames / FPS)
    pauses = [(begin, min(end, last)) for begin, end in find_pauses(speech, sound.duration)] if speech else []
    shown = tuple((begin, end) for begin, end in pauses if end - begin >= MIN_PAUSE)
    return SoundPreview(duration=sound.duration, num_frames=num_frames, has_speech=bool(speech), pauses=shown)


def heard_html(sound: Sound, max_frames: int | None, num_frames: int | None = None) -> str:
    """A sound as the model hears it: its wave, the windows of the latent frames, what is cut and where nobody speaks.

    Returns:
        HTML of a figure; arguments as of `preview_sound`.
    """
    heard = preview_sound(sound, max_frames, num_frames)
    return figure("humo-heard", draw_sound(sound, heard), describe_sound(heard))


def describe_sound(heard: SoundPreview) -> str:
    """In words what `draw_sound` shows."""
    frames = "1 frame" if heard.num_frames == 1 else f"{heard.num_frames} frames"
    words = f"The model hears {heard.seconds:.2f} s: {frames}"
    windows = "in one window" if heard.num_windows == 1 else f"in {heard.num_windows} overlapping windows"
    words += f", {windows} of {WINDOW / FPS:.2f} s."
    if heard.duration - heard.seconds >= 0.005:
        words += f" The last {heard.duration - heard.seconds:.2f} s are cut off (grey)."
    elif heard.seconds - heard.duration >= 0.005:
        words += f" Silence fills the last {heard.seconds - heard.duration:.2f} s."
    if not heard.has_speech:
        words += " No speech is found in it, and the mouth follows speech."
    elif heard.pauses:
        spans = [f"{begin:.1f} to {end:.1f} s" for begin, end in heard.pauses[:4]]
        more = f" and {len(heard.pauses) - 4} times more" if len(heard.pauses) > 4 else ""
        words += f" Nobody speaks from {', from '.join(spans)}{more} (shaded): there the mouth should rest."
    return words


def draw_sound(sound: Sound, heard: SoundPreview) -> str:
    """The wave as an SVG, pauses shaded: what is heard in colour, what is cut grey, the windows below."""
    total = max(heard.duration, heard.seconds)
    scale = COLUMNS / total
    pauses = (*heard.pauses, (heard.duration, total))
    shapes = [
        *(_box(begin * scale, 0, (end - begin) * scale, HEIGHT, "pause") for begin, end in pauses if end > begin),
        *_wave(sound, heard, total),
        *(_windows(heard, scale) if heard.num_windows <= MAX_DRAWN else ()),
        f'<path d="M{heard.seconds * scale:.1f} 0V{HEIGHT}" style="{_STYLES["end"]}"/>',
    ]
    size = f'viewBox="0 0 {COLUMNS} {HEIGHT + 2 * LANE + 2}" preserveAspectRatio="none"'
    label = f"Wave of the sound, {heard.duration:.2f} s"
    svg = f'<svg {size} role="img" aria-label="{label}" style="display:block;width:100%;height:5.5rem">'
    scale_words = f"<span>0 s</span><span>{total:.2f} s</span>"
    axis = f'<div aria-hidden="true" style="display:flex;justify-content:space-between;{_SMALL}">{scale_words}</div>'
    return f"{svg}{''.join(shapes)}</svg>{axis}"


_SMALL = "font-size:.85rem;color:var(--body-text-color-subdued);font-variant-numeric:tabular-nums"
_STYLES = {
    "heard": "fill:var(--slider-color)",
    "cut": "fill:var(--body-text-color-subdued);opacity:.45",
    "pause": "fill:var(--border-color-primary);opacity:.6",
    "window": "fill:var(--slider-color);opacity:.35",
    "end": "stroke:var(--body-text-color);stroke-width:1;stroke-dasharray:3 3;vector-effect:non-scaling-stroke",
}


def _wave(sound: Sound, heard: SoundPreview, total: float) -> list[str]:
    """One bar a column, from the lowest to the highest sample."""
    samples = round(total * SAMPLE_RATE)
    waveform = np.pad(sound.waveform[:samples], (0, max(0, samples - len(sound.waveform))))
    edges = np.linspace(0, samples, COLUMNS + 1).astype(int)[:-1]
    peak = max(float(np.abs(waveform).max()), 1e-6)
    low, high = (ufunc.reduceat(waveform, edges) / peak for ufunc in (np.minimum, np.maximum))
    top, bottom = ((1 - side) * HEIGHT / 2 for side in (np.maximum(high, 0.01), np.minimum(low, -0.01)))
    bars = [f"M{x} {a:.1f}h.8V{b:.1f}h-.8z" for x, (a, b) in enumerate(zip(top, bottom, strict=True))]
    end = round(heard.seconds / total * COLUMNS)
    parts = {"heard": "".join(bars[:end]), "cut": "".join(bars[end:])}
    return [f'<path d="{path}" style="{_STYLES[kind]}"/>' for kind, path in parts.items() if path]


def _windows(heard: SoundPreview, scale: float) -> list[str]:
    """Windows overlap by half: they take turns in two lanes."""
    boxes = []
    for index in range(heard.num_windows):
        begin, end = (min(max(0.0, edge), heard.seconds) for edge in heard.window(index))
        lane = HEIGHT + 2 + LANE * (index % 2)
        boxes.append(_box(begin * scale + 0.4, lane, (end - begin) * scale - 0.8, LANE - 1, "window"))
    return boxes


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    size = f'x="{x:.1f}" y="{y}" width="{max(width, 0.4):.1f}" height="{height}"'
    return f'<rect {size} style="{_STYLES[kind]}"/>'


def figure(name: str, picture: str, words: str) -> str:
    """A picture, which is HTML, with words below it, which are not."""
    caption = f'<figcaption style="margin-top:.35rem;{_SMALL}">{html.escape(words)}</figcaption>'
    return f'<figure class="{name}" style="margin:0">{picture}{caption}</figure>'
