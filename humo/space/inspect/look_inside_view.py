"""The inside of a finished video, drawn and told: from what was kept, without the model.

Every view is pictures with alternative texts, a sentence, and a table that says the same. Words stand beside the
pictures and not in them, so that they take the page's colours, grow with its letters and are read aloud. Ours.
"""

from __future__ import annotations

import html
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from humo.explain.overlays import describe_masks, enlarge, grey_frame, mask_overlay, middle, peak, share_on, stretch
from humo.explain.schedules import COLOURS, describe_schedule
from humo.space.inspect.look_inside import Inside, Look
from humo.space.page.curves import describe, draw_schedule
from humo.space.page.html import data_uri, sentence

SHOWN_SIDE, SMALL_SIDE = 384, 128
"""Longest side of a large picture and of a small one, pixels."""
LEAST_TOP = 5.0
"""Levels of 255 at which a change is drawn brightest, at least: so that a change that is nothing looks like nothing."""
_NAMES = {"text": "text", "image": "picture", "audio": "voice"}
_CHOSEN = ' aria-current="true"'
NO_MASKS = "This model has no focus head, so it cannot show where it expects the face. The released weights have none."
NO_TRUTH = "How well a mask fits is not measured: that takes the true mask, and a generated video has none."
NO_SOUND = "No voice was given, so there is no audio attention to show."


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture with its words."""

    picture: Image.Image
    caption: str
    alt: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """Something to see: large pictures, small ones, a drawing; in words and as a table."""

    title: str
    words: str
    table: str = ""
    """Markdown."""
    large: tuple[Shot, ...] = ()
    small: tuple[Shot, ...] = ()
    drawing: str = ""
    """HTML."""


# 1. Where the face is expected


def masks_view(inside: Inside, step: int, frame: int) -> View:
    """The face mask at a step and a frame, and at every other step.

    Args:
        inside: what was seen.
        step: index into `inside.steps`.
        frame: index into `inside.frame_numbers`.

    Raises:
        ValueError: if one of them is not kept.
    """
    title = "Where it expects the face"
    _check(inside, step, frame)
    if inside.masks is None:
        return View(title, NO_MASKS + _new_part(inside))
    masks = inside.masks[:, frame].astype(np.float32) / 255
    moment, place = f"{_moment(inside, step)}, frame {inside.frame_numbers[frame] + 1}", _place(*middle(masks[step]))
    share = f"{(masks[step] > 0.5).mean():.0%} of the frame, {place}"
    then, now = open_picture(inside.predicted[step][frame]), Image.fromarray(inside.frames[frame])
    large = (
        Shot(outlined(then, masks[step]), "as predicted at this step", f"{moment}: the face is expected on {share}."),
        Shot(outlined(now, masks[step]), "over the finished video", f"The same mask over the finished frame: {place}."),
    )
    small = tuple(
        Shot(
            outlined(open_picture(inside.predicted[index][frame]), masks[index], SMALL_SIDE),
            f"step {inside.steps[index] + 1}, {inside.timesteps[index]:.0f}",
            f"{_moment(inside, index)}: the face is expected {_place(*middle(masks[index]))}.",
            index == step,
        )
        for index in range(len(masks))
    )
    words = f"{moment}: the network expects the face on {share}. {NO_TRUTH}{_new_part(inside)}"
    table = describe_masks([each.astype(np.float32) / 255 for each in inside.masks], inside.timesteps)
    return View(title, words, table, large, small)


def outlined(picture: Image.Image, mask: np.ndarray, side: int = SHOWN_SIDE) -> Image.Image:
    """A picture, enlarged, with a mask in purple and a line where its probability is one half.

    Args:
        picture: RGB.
        mask: probability, (rows, columns).
        side: longest side of the result in pixels.
    """
    picture = resized(picture, side)
    overlay = mask_overlay(np.asarray(picture), mask, strength=0.45)
    is_face = enlarge(mask, *picture.size).point(lambda share: 255 * (share >= 128))
    for thick, colour in ((1 + side // 110, "white"), (side // 110, COLOURS["mask"])):
        near = is_face.filter(ImageFilter.BoxBlur(thick)).point(lambda share: 255 * (share > 0))
        overlay.paste(colour, (0, 0, *picture.size), ImageChops.subtract(near, is_face))
    return overlay


# 2. The schedule that was used


def schedule_view(inside: Inside) -> View:
    """The weights of the branches at every step, as they were."""
    shown, rule = inside.schedule, inside.rule
    drawing = draw_schedule(shown, rule)
    return View("How it was guided", describe(shown, rule), describe_schedule(shown), drawing=drawing)


# 3. What each sense did


def senses_view(inside: Inside, look: int, frame: int) -> View:
    """What text, picture and voice each made of a frame.

    Args:
        inside: what was seen.
        look: index into `inside.looks`.
        frame: index into `inside.frame_numbers`.

    Raises:
        ValueError: if one of them is not kept.
    """
    seen = _look(inside, look, frame)
    changes = {name: _levels(seen, name, frame) for name in seen.change}
    top = max(LEAST_TOP, *(float(np.percentile(change, 99.5)) for change in changes.values()))
    where = f"at step {seen.step + 1}, frame {inside.frame_numbers[frame] + 1}"
    shots = [
        Shot(_large(seen.everything[frame]), "everything shown", f"Predicted {where} with everything shown."),
        Shot(_finished(inside, frame), "the finished video", "The same frame of the finished video."),
    ]
    for name, change in changes.items():
        thing = _NAMES[name]
        did = f"what the {thing} did: {change.mean():.1f}{_on_face(seen, change, frame)}"
        alt = f"{sentence(did)}, strongest {_place(*peak(change))}."
        shots.append(Shot(_large(seen.without[name][frame]), f"without the {thing}", f"Predicted {where} without it."))
        shots.append(Shot(glowing(change, top, COLOURS[name]), did, alt))
    return View(
        "What each sense did",
        _told(seen, changes, where, top) + _face_size(seen, frame),
        seen.change_table,
        tuple(shots),
    )


def glowing(values: np.ndarray, top: float, colour: str, side: int = SHOWN_SIDE) -> Image.Image:
    """A map as light: black where it is 0, the colour half way up, white from `top` on.

    Args:
        values: (height, width), 0 and above.
        top: what is drawn white.
        colour: "#rrggbb".
        side: longest side of the result in pixels.
    """
    grey = Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8))
    return ImageOps.colorize(resized(grey, side), "black", "white", mid=colour)


def _levels(seen: Look, name: str, frame: int) -> np.ndarray:
    """How much a sense changed at every pixel, in levels of 255, (height, width)."""
    grey = open_picture(seen.change[name][frame]).convert("L")
    return np.asarray(grey, dtype=np.float32) * (seen.change_top / 255)


def _told(seen: Look, changes: dict[str, np.ndarray], where: str, top: float) -> str:
    amounts = {_NAMES[name]: float(change.mean()) for name, change in changes.items()}
    listed = ", ".join(f"{thing} {amount:.1f}" for thing, amount in amounts.items())
    only = f" The {max(amounts, key=amounts.__getitem__)} changes most." if len(amounts) > 1 else ""
    return (
        f"The network is asked again {where} (timestep {seen.timestep:.0f}) with one sense taken away at a time. "
        f"Mean change per pixel in levels of 255, before guidance multiplies it: {listed}.{only} "
        f"White stands for {top:.0f} levels or more."
    )


def _on_face(seen: Look, values: np.ndarray, frame: int) -> str:
    """How much of a map lies on the expected face, in words; nothing where that is not known."""
    return "" if seen.mask is None else f", {share_on(values, seen.mask[frame] / 255):.0%} of it on the face"


def _face_size(seen: Look, frame: int) -> str:
    return "" if seen.mask is None else f" The face takes {(seen.mask[frame] > 127).mean():.0%} of the frame."


# 4. Where the sound acts


def sound_view(inside: Inside, look: int, frame: int, block: int | None = None) -> View:
    """What the audio attention adds over a frame.

    Args:
        inside: what was seen.
        look: index into `inside.looks`.
        frame: index into `inside.frame_numbers`.
        block: of the network, counted from 0, for the large picture; None for the mean of all.

    Raises:
        ValueError: if one of them is not kept.
    """
    title, seen = "Where the voice acts", _look(inside, look, frame)
    if seen.sound is None:
        return View(title, NO_SOUND)
    if block is not None and not 0 <= block < len(seen.sound):
        raise ValueError(f"block is {block} but there are {len(seen.sound)}: count from 0.")
    maps = seen.sound[:, frame].astype(np.float32) / 255
    shown, name = (maps.mean(0), "all blocks") if block is None else (maps[block], f"block {block + 1}")
    grey = Image.fromarray(grey_frame(np.asarray(open_picture(seen.everything[frame]))))
    where = f"step {seen.step + 1}, frame {inside.frame_numbers[frame] + 1}"
    low, mean, high = (seen.sound_top * float(value) for value in (shown.min(), shown.mean(), shown.max()))
    amount = f"{mean:.1%} of the state on average{_on_face(seen, shown, frame)}"
    alt = f"{where}, {name}: the audio attention adds {amount}, most {_place(*peak(shown))}."
    large = (
        Shot(_green(grey, shown, SHOWN_SIDE), f"{name}: {low:.1%} (grey) to {high:.1%} (green)", alt),
        Shot(_finished(inside, frame), "the finished video", "The same frame of the finished video."),
    )
    small = tuple(
        Shot(
            _green(grey, each, SMALL_SIDE),
            f"block {number + 1}",
            f"Block {number + 1}: {each.mean() * seen.sound_top:.1%} on average, most {_place(*peak(each))}.",
            number == block,
        )
        for number, each in enumerate(maps)
    )
    words = (
        f"At {where} (timestep {seen.timestep:.0f}) the audio attention of {name} adds {amount}. "
        f"The greener, the more; every picture goes from its least to its most.{_face_size(seen, frame)}"
    )
    return View(title, words, seen.sound_table, large, small)


def _green(grey: Image.Image, share: np.ndarray, side: int) -> Image.Image:
    return mask_overlay(np.asarray(resized(grey, side)), stretch(share), 0.9, COLOURS["audio"])


# Pictures and words


def open_picture(data: bytes) -> Image.Image:
    """A kept picture, RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def resized(picture: Image.Image, side: int) -> Image.Image:
    """A picture at another size, its longest side `side` pixels."""
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _large(data: bytes) -> Image.Image:
    return resized(open_picture(data), SHOWN_SIDE)


def _finished(inside: Inside, frame: int) -> Image.Image:
    return resized(Image.fromarray(inside.frames[frame]), SHOWN_SIDE)


def _new_part(inside: Inside) -> str:
    """Which part of a video that goes on from another one is shown, in words; nothing where it is all of it."""
    if not inside.num_earlier:
        return ""
    return f" The video goes on from another one of {inside.num_earlier} frames; only what is new after them is shown."


def _moment(inside: Inside, step: int) -> str:
    number, count = inside.steps[step] + 1, len(inside.schedule.timesteps)
    return f"Step {number} of {count} (timestep {inside.timesteps[step]:.0f})"


def _place(across: float, down: float) -> str:
    return f"around {across:.0%} from the left and {down:.0%} from the top"


def _look(inside: Inside, look: int, frame: int) -> Look:
    _check(inside, 0, frame)
    if not 0 <= look < len(inside.looks):
        raise ValueError(f"look is {look} but there are {len(inside.looks)}: count from 0.")
    return inside.looks[look]


def _check(inside: Inside, step: int, frame: int) -> None:
    for name, value, kept in (("step", step, inside.steps), ("frame", frame, inside.frame_numbers)):
        if not 0 <= value < len(kept):
            raise ValueError(f"{name} is {value} but {len(kept)} are kept: count from 0.")


# HTML


def to_html(view: View) -> str:
    """A view as HTML; its look stands in inside.css."""
    table = f"<details><summary>The same as a table</summary>{table_html(view.table)}</details>" if view.table else ""
    words = "" if view.drawing else f'<p role="status">{html.escape(view.words)}</p>'  # a drawing says them itself
    return (
        f'<section class="humo-inside"><h3>{html.escape(view.title)}</h3>{words}{view.drawing}'
        f"{_gallery(view.large, 'is-large')}{_gallery(view.small, 'is-small')}{table}</section>"
    )


def _gallery(shots: tuple[Shot, ...], kind: str) -> str:
    figures = "".join(
        f"<figure{_CHOSEN if shot.is_chosen else ''}>"
        f'<img src="{data_uri(shot.picture)}" alt="{html.escape(shot.alt)}" '
        f'width="{shot.picture.width}" height="{shot.picture.height}">'
        f"<figcaption>{html.escape(shot.caption)}</figcaption></figure>"
        for shot in shots
    )
    return f'<div class="humo-shots {kind}">{figures}</div>' if shots else ""


def table_html(markdown: str) -> str:
    """A table in markdown as HTML; lines that are none follow it as a sentence."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    rest = " ".join(line for line in markdown.splitlines() if line and not line.startswith("|"))
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in body
    )
    words = f"<p>{html.escape(rest)}</p>" if rest else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>{words}"
