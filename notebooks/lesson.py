"""What the lessons share: predictions, checks, explorers, figures, tables and small videos.

Whatever is shown is one output with several forms: a widget for a live kernel, and a picture, plain HTML or text that
says the same wherever there is none, as on GitHub. No lesson needs a widget to make its point, and every picture has
words. Ours.
"""

from __future__ import annotations

import base64
import dis
import html
import inspect
import json
import logging
import random
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from PIL import Image

from humo.media import read_sound, write_video
from humo.world.speech import Speech
from notebooks.drawing import change_curves as change_curves
from notebooks.drawing import figure as figure
from notebooks.drawing import panels as panels
from notebooks.drawing import png, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_VIDEO = 100_000
"""Bytes of the largest video that is sent to the browser."""
VOICES = Path(__file__).parents[1] / "assets" / "examples"
_UNATTEMPTED = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "COPY_FREE_VARS"}
"""Instructions of a function that does nothing but return a constant."""


# 1. Beginning


def begin(threads: int = 2, seed: int = 0) -> None:
    """Makes a lesson repeatable and quiet.

    Args:
        threads: of torch; two cores are what a lesson may count on.
        seed: of torch, NumPy and Python.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)  # another lesson in the same kernel may have switched it off
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


def voices() -> dict[str, Speech]:
    """The bundled voices by name, each with the times of its phonemes, so that the true mouth is known."""
    spoken = json.loads(Path(__file__).with_name("spoken.json").read_text())
    return {
        name: Speech(read_sound(VOICES / f"{name}.wav").waveform, tuple(map(tuple, voice["phonemes"])))
        for name, voice in spoken.items()
    }


@contextmanager
def count_calls(network: torch.nn.Module) -> Iterator[list[None]]:
    """Counts how often a network is asked, as the length of a list that grows until the block ends."""
    calls: list[None] = []
    hook = network.register_forward_hook(lambda *_: calls.append(None))
    try:
        yield calls
    finally:
        hook.remove()


# 2. Predictions, checks, explorers


def quiz(question: str, options: Sequence[str], answer: int, because: str) -> None:
    """Asks for a prediction: radio buttons in a live kernel, a fold with the answer everywhere else.

    Args:
        question: one sentence; text between backticks is shown as code, here and below.
        options: two or more answers.
        answer: index of the right one.
        because: why, shown after the choice.

    Raises:
        ValueError: if `answer` is not the index of an option.
    """
    if not 0 <= answer < len(options):
        raise ValueError(f"answer is {answer} but there are {len(options)} options: count from 0.")
    letters = "ABCDEFGH"
    right = f"<strong>{letters[answer]}.</strong> {_inline(because)}"
    listed = "".join(f"<li>{_inline(option)}</li>" for option in options)
    fold = f"<details><summary>Answer</summary><p>{right}</p></details>"
    page = f'<p><strong>Predict.</strong> {_inline(question)}</p><ol type="A">{listed}</ol>{fold}'
    plain = [f"Predict. {question}", *(f"{letter}. {text}" for letter, text in zip(letters, options, strict=False))]
    plain.append(f"Answer: {letters[answer]}. {because}")
    _display({"text/html": page, "text/plain": "\n".join(plain)}, lambda: _radio(question, options, answer, because))


def _radio(question: str, options: Sequence[str], answer: int, because: str) -> Any:
    import ipywidgets

    labels = [f"{letter}. {option.replace('`', '')}" for letter, option in zip("ABCDEFGH", options, strict=False)]
    buttons = ipywidgets.RadioButtons(options=labels, index=None, layout={"width": "auto"})
    told = ipywidgets.HTML()

    def tell(change: dict[str, Any]) -> None:
        verdict = "Right." if buttons.index == answer else f"Not quite: {'ABCDEFGH'[answer]}."
        told.value = f'<div role="status"><strong>{verdict}</strong> {_inline(because)}</div>'

    buttons.observe(tell, "index")
    return ipywidgets.VBox([ipywidgets.HTML(f"<strong>Predict.</strong> {_inline(question)}"), buttons, told])


def check(function: Callable[..., Any], test: Callable[[Callable[..., Any]], None], hint: str) -> None:
    """Judges a learner's function and prints one line; a wrong one never ends the lesson.

    Args:
        function: whose body is `...` as long as nobody has tried.
        test: called with the function; raises an `AssertionError` with a sentence where it is wrong.
        hint: told beside the reason.
    """
    if is_unattempted(function):
        print("… not attempted yet")
        return
    try:
        test(function)
    except AssertionError as error:
        print(f"✗ {_first_line(error) or 'that is not the right value.'} Hint: {hint}")
    except Exception as error:  # noqa: BLE001 (whatever a learner's code raises is told, not raised)
        print(f"✗ {type(error).__name__}: {_first_line(error)}. Hint: {hint}")
    else:
        print("✓ correct")


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def is_unattempted(function: Callable[..., Any]) -> bool:
    """Whether a function's body is only `...`, with or without a docstring."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return False
    steps = list(dis.get_instructions(code))
    constants = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {step.opname for step in steps} <= _UNATTEMPTED and all(c is None or c is ... for c in constants)


def explore(
    draw: Callable[..., Figure | Image.Image],
    static: Mapping[str, Any],
    alt: str,
    caption: str = "",
    **choices: Sequence[Any],
) -> None:
    """Shows a picture that depends on choices: with a slider for each in a live kernel, as one picture elsewhere.

    Args:
        draw: called with one value of every choice; quick, for it runs at every move of a slider.
        static: the choice that is shown first and that stands in a stored lesson.
        alt: what the picture shows, in words, at the static choice.
        caption: shown below.
        choices: the values that each slider offers.

    Raises:
        ValueError: if alt is empty, or if static does not give every choice one of its values.
    """
    _check_alt(alt)
    if set(static) != set(choices) or any(static[name] not in list(values) for name, values in choices.items()):
        raise ValueError(f"static is {dict(static)}: give one of the offered values of each of {', '.join(choices)}.")
    picture = png(draw(**static))
    _display(_picture(picture, alt), lambda: _sliders(draw, static, alt, choices, picture), _described(alt))
    _caption(caption)


def _sliders(draw: Callable, static: Mapping, alt: str, choices: Mapping[str, Sequence], picture: bytes) -> Any:
    import ipywidgets

    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_label(value), value) for value in values],
            value=static[name],
            description=name.replace("_", " "),
            continuous_update=False,
            style={"description_width": "initial"},
            layout={"width": "26em"},
        )
        for name, values in choices.items()
    }
    shown = ipywidgets.HTML(_img(picture, alt))

    def redraw(change: dict[str, Any]) -> None:
        chosen = {name: slider.value for name, slider in sliders.items()}
        now = ", ".join(f"{name.replace('_', ' ')} {_label(value)}" for name, value in chosen.items())
        try:
            shown.value = _img(png(draw(**chosen)), f"{alt} Now shown: {now}.")
        except Exception as error:
            told = html.escape(f"{type(error).__name__}: {error}")
            shown.value = f'<p role="alert">Not drawn ({told}): run the lesson from the top again.</p>'
            raise

    for slider in sliders.values():
        slider.observe(redraw, "value")
    return ipywidgets.VBox([*sliders.values(), shown])


# 3. Figures, tables, videos


def show(picture: Figure | Image.Image, alt: str, caption: str = "") -> None:
    """Shows a figure or a picture as a PNG that is small enough to be stored.

    Args:
        picture: what to show.
        alt: what it shows, in words.
        caption: shown below.

    Raises:
        ValueError: if alt is empty.
    """
    _check_alt(alt)
    _display(_picture(png(picture), alt), None, _described(alt))
    _caption(caption)


def table(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    """Shows a table.

    Args:
        rows: cells; floats get three digits.
        columns: headings.

    Raises:
        ValueError: if a row has another number of cells than there are columns.
    """
    if wrong := [row for row in rows if len(row) != len(columns)]:
        raise ValueError(f"a row has {len(wrong[0])} cells but there are {len(columns)} columns: {wrong[0]}.")
    cells = [[_label(cell) for cell in row] for row in rows]
    plain = [columns, ["---"] * len(columns), *cells]
    head = "".join(f'<th scope="col">{_inline(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in cells)
    page = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    _display({"text/html": page, "text/plain": "\n".join(f"| {' | '.join(row)} |" for row in plain)})


def play(
    frames: np.ndarray,
    fps: float = 25,
    alt: str = "",
    caption: str = "",
    audio: np.ndarray | None = None,
    rate: int | None = None,
) -> None:
    """Shows a video: a sheet of its frames always, and a player in a live kernel if the file is small.

    Args:
        frames: (f, height, width, 3) uint8, even sides.
        fps: frames a second.
        alt: what is seen and heard, in words.
        caption: shown below.
        audio: samples in [-1, 1].
        rate: of the samples, Hz.

    Raises:
        ValueError: if alt is empty.
    """
    _check_alt(alt)
    picture = png(sheet(frames))
    sound = None if audio is None else (audio, rate)
    _display(_picture(picture, alt), lambda: _player(frames, fps, sound, picture, alt), _described(alt))
    _caption(caption)


def _player(frames: np.ndarray, fps: float, sound: tuple | None, picture: bytes, alt: str) -> Any:
    import ipywidgets

    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "video.mp4", frames, fps, sound).read_bytes()
    still = ipywidgets.HTML(_img(picture, alt))
    if len(video) > MAX_VIDEO:
        return still
    player = ipywidgets.Video(value=video, format="mp4", controls=True, autoplay=False, loop=False, width="256")
    return ipywidgets.VBox([still, player])


# 4. Forms of an output


def _picture(data: bytes, alt: str) -> dict[str, str]:
    return {"image/png": base64.b64encode(data).decode(), "text/plain": alt}


def _described(alt: str) -> dict[str, dict[str, str]]:
    """Metadata of the output; notebook viewers read the alternative text from here."""
    return {"image/png": {"alt": alt}}


def _img(data: bytes, alt: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="{html.escape(alt)}" style="max-width: 100%">'


def _caption(caption: str) -> None:
    if caption:
        _display({"text/html": f"<p><em>{_inline(caption)}</em></p>", "text/plain": caption})


def _display(forms: dict[str, str], widget: Callable[[], Any] | None = None, metadata: dict | None = None) -> None:
    """One output: all forms in a kernel, with the widget on top; the words alone outside of one."""
    if get_ipython() is None:
        print(forms["text/plain"])
        return
    if widget is not None:
        live = widget()._repr_mimebundle_()
        forms = {**{kind: form for kind, form in live.items() if kind != "text/plain"}, **forms}
    display(forms, raw=True, metadata=metadata)


def _inline(text: str) -> str:
    """Text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(text), quote=False))


def _label(value: Any) -> str:
    if not isinstance(value, float | np.floating):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _check_alt(alt: str) -> None:
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the picture shows.")
