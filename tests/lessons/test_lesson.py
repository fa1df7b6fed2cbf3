"""The lessons' helpers: what a reader without a kernel gets, and what a kernel adds."""

from __future__ import annotations

import base64
import io
import random
import warnings

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from nbformat import NotebookNode
from notebook_runner import WIDGET, execute, kernel
from PIL import Image

from notebooks import drawing, lesson


def stub(number: int) -> int:
    """Three times the number."""
    ...


def bare_stub(number: int) -> int: ...


def triple(number: int) -> int:
    return 3 * number


def wrong(number: int) -> int:
    return number + 1


def silent(number: int) -> int:
    return None if number else 1


def broken(number: int) -> int:
    return number["three"]


def triples(function):
    assert function(2) == 6, "two should become six."


HINT = "Multiply by three."


@pytest.fixture(autouse=True)
def as_before():
    """The style of figures is the process's, and so are threads and filters."""
    threads = torch.get_num_threads()
    with matplotlib.rc_context(), warnings.catch_warnings():
        yield
    torch.set_num_threads(threads)


def noise(side: int, seed: int = 0) -> Image.Image:
    """A picture that compresses badly."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


# 1. Without a kernel


def test_begin_makes_repeatable():
    drawn = []
    for _ in range(2):
        lesson.begin(threads=1, seed=3)
        drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))
    assert drawn[0] == drawn[1] and torch.get_num_threads() == 1
    lesson.begin(threads=1, seed=4)
    assert torch.rand(1).item() != drawn[0][0]


@pytest.mark.parametrize("function", [stub, bare_stub, lambda number: ...])
def test_check_knows_what_nobody_has_tried(function, capsys: pytest.CaptureFixture):
    lesson.check(function, triples, HINT)
    assert capsys.readouterr().out == "… not attempted yet\n"


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (triple, "✓ correct"),
        (wrong, f"✗ two should become six. Hint: {HINT}"),
        (silent, f"✗ two should become six. Hint: {HINT}"),
        (broken, f"✗ TypeError: 'int' object is not subscriptable. Hint: {HINT}"),
        (lambda number: 6, "✓ correct"),
        (int, f"✗ two should become six. Hint: {HINT}"),
    ],
)
def test_check_says_what_is_wrong(function, line: str, capsys: pytest.CaptureFixture):
    lesson.check(function, triples, HINT)
    assert capsys.readouterr().out == line + "\n"


def test_check_has_a_reason_where_the_test_gives_none(capsys: pytest.CaptureFixture):
    def test(function):
        raise AssertionError

    lesson.check(wrong, test, HINT)
    assert capsys.readouterr().out == f"✗ that is not the right value. Hint: {HINT}\n"


def test_words_alone_outside_of_a_kernel(capsys: pytest.CaptureFixture):
    lesson.quiz("How many?", ["one", "two"], 1, "There are two.")
    lesson.show(noise(8), "a grey square", "Noise.")
    lesson.table([[1, 0.12345], ["a", 2048.0]], ["name", "value"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[:4] == ["Predict. How many?", "A. one", "B. two", "Answer: B. There are two."]
    assert printed[4:6] == ["a grey square", "Noise."]
    assert printed[6:] == ["| name | value |", "| --- | --- |", "| 1 | 0.123 |", "| a | 2048 |"]


def test_figures_have_one_style():
    figure, axes = lesson.figure(4, 2)
    lines = [axes.plot([0, number])[0] for number in range(3)]
    assert isinstance(figure, Figure) and figure.dpi == drawing.DPI and list(figure.get_size_inches()) == [4, 2]
    assert [line.get_color() for line in lines] == [drawing.COLOURS[name] for name in ("text", "image", "audio")]
    assert len({line.get_linestyle() for line in lines}) == 3, "colour must not stand alone"
    assert axes.xaxis.label.get_size() == 11
    assert lesson.figure(rows=2, columns=3)[1].shape == (2, 3)


def test_panels_put_pictures_in_their_places():
    wide, high = np.full((10, 20, 3), 9, np.uint8), Image.new("L", (10, 40))
    rows = [[wide, high], [wide, wide]]
    figure = lesson.panels(rows, ["a", "b\nc"], ["one", "other"], width=4, colours=["red"])
    first, second, third, _ = figure.axes
    assert [panel.get_title() for panel in figure.axes] == ["a", "b\nc", "", ""]
    assert [text.get_text() for panel in (first, third) for text in panel.texts] == ["one", "other"]
    assert first.title.get_color() == "red" != second.title.get_color()
    assert [panel.images[0].get_array().shape for panel in figure.axes] == [
        (10, 20, 3),
        (40, 10),
        (10, 20, 3),
        (10, 20, 3),
    ]
    side = (4 - 0.085 * 5 - 0.06) / 2  # the high picture gets a square, the wide ones half of one
    assert figure.get_figheight() == pytest.approx(side + side / 2 + 2 * 0.2 + 2 * 0.1)
    assert len(lesson.panels([[wide]]).axes) == 1


def test_change_curves_show_what_changes_where():
    still = np.zeros((12, 4, 4, 3), np.uint8)
    jump = still.copy()
    jump[7:] = 30
    axes = lesson.change_curves({"still": still, "jump": jump}, range(3, 12), 7).axes[0]
    flat, peak, line = axes.lines
    assert flat.get_ydata().max() == 0 and peak.get_xdata()[peak.get_ydata().argmax()] == 7 == line.get_xdata()[0]
    assert peak.get_ydata().tolist() == [0, 0, 0, 0, 30, 0, 0, 0, 0]
    assert flat.get_linestyle() != peak.get_linestyle() and [t.get_text() for t in axes.get_legend().texts] == [
        "still",
        "jump",
    ]


def test_calls_are_counted_until_the_block_ends():
    network = torch.nn.Linear(2, 2)
    with pytest.raises(KeyError), lesson.count_calls(network) as calls:
        network(network(torch.zeros(1, 2)))
        raise KeyError
    network(torch.zeros(1, 2))
    assert len(calls) == 2


@pytest.mark.parametrize("shape", [(20, 80), (20, 20), (40, 20)])
def test_the_words_beside_panels_are_not_cut_off(shape: tuple[int, int]):
    rows = [[np.zeros((*shape, 3), np.uint8)]] * 4
    figure = lesson.panels(rows, ["above"], ["picture", "text\nmodel", "step 20", "truth"], width=5.5)
    figure.canvas.draw()
    words = [figure.axes[0].title, *(text for panel in figure.axes for text in panel.texts)]
    places = [word.get_window_extent() for word in words]
    assert len(places) == 5 and min(place.x0 for place in places) >= 0
    assert max(place.y1 for place in places) <= figure.bbox.y1


def test_voices_have_their_phonemes():
    voices = lesson.voices()
    assert list(voices) == ["woman", "man", "bluehair", "spiky"]
    for voice in voices.values():
        starts = [start for start, _ in voice.phonemes]
        assert starts == sorted(starts) and starts[-1] <= voice.duration and len(voice.waveform) > 16_000


@pytest.mark.slow
@pytest.mark.parametrize("picture", [noise(64), noise(600), noise(64).convert("L")])
def test_pictures_are_small_enough_to_be_stored(picture: Image.Image):
    data = lesson.png(picture)
    with Image.open(io.BytesIO(data)) as read:
        assert len(data) <= drawing.MAX_PNG and read.format == "PNG"
        if picture.width == 64:
            assert np.array_equal(np.asarray(read.convert("RGB")), np.asarray(picture.convert("RGB")))


def test_figures_keep_their_size():
    figure, axes = lesson.figure(6, 2)
    axes.plot([0, 1])
    with Image.open(io.BytesIO(lesson.png(figure))) as read:
        assert read.size == (660, 220)


def test_a_sheet_has_the_first_and_the_last_frame():
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    shown = np.asarray(lesson.sheet(frames, count=4))
    assert shown.shape == (2, 8, 3) and shown[0, ::2, 0].tolist() == [0, 6, 13, 19]
    assert np.asarray(lesson.sheet(frames[:2])).shape == (2, 4, 3)


def draw(side: int) -> Image.Image:
    return noise(side)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: lesson.quiz("q", ["a", "b"], 2, "because"), "answer is 2 but there are 2 options: count from 0."),
        (lambda: lesson.show(noise(8), " "), "alt is empty: say in words what the picture shows."),
        (lambda: lesson.play(np.zeros((1, 8, 8, 3), np.uint8)), "alt is empty: say in words what the picture shows."),
        (lambda: lesson.explore(draw, {"side": 8}, "", side=[8]), "alt is empty: say in words what the picture shows."),
        (
            lambda: lesson.explore(draw, {"side": 9}, "a square", side=[8, 16]),
            "static is {'side': 9}: give one of the offered values of each of side.",
        ),
        (lambda: lesson.table([[1, 2]], ["one"]), "a row has 2 cells but there are 1 columns: [1, 2]."),
    ],
)
def test_mistakes_are_told_in_one_sentence(call, sentence: str):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == sentence


# 2. In a kernel

CELLS = {
    "begin": "import sys\nsys.path.insert(0, '..')\nfrom notebooks import lesson\nlesson.begin()",
    "quiz": "lesson.quiz('Is `a` < b?', ['yes', 'no `b`'], 0, 'It is.')",
    "quiz, wrong then right": "radio = lesson._radio('q', ['a', 'b'], 1, 'so.')\n"
    "told = []\n"
    "for index in (0, 1):\n"
    "    radio.children[1].index = index\n"
    "    told.append(radio.children[2].value)\n"
    "print(*told)",
    "show": "figure, axes = lesson.figure(4, 2)\naxes.plot([0, 1])\nlesson.show(figure, 'a line', 'It rises.')",
    "table": "lesson.table([['<b>', 1 / 3]], ['name', '`x`'])",
    "explore": "def draw(end, colour='C0'):\n"
    "    figure, axes = lesson.figure(4, 2)\n"
    "    axes.plot([0, end], color=colour)\n"
    "    return figure\n"
    "lesson.explore(draw, {'end': 2, 'colour': 'C0'}, 'a line to two', 'It rises.', end=[1, 2], colour=['C0', 'C1'])",
    "explore, moved": "sliders = lesson._sliders(draw, {'end': 1}, 'a line', {'end': [1, 2]}, b'')\n"
    "slider, shown = sliders.children\n"
    "slider.value = 2\n"
    "print(slider.continuous_update, slider.description, 'Now shown: end 2.' in shown.value)",
    "play": "import numpy as np\n"
    "frames = np.zeros((9, 32, 32, 3), np.uint8)\n"
    "lesson.play(frames, alt='nothing', audio=np.zeros(6000), rate=16000)",
    "play, parts": "player = lesson._player(frames, 25, None, b'', 'nothing').children[1]\n"
    "noise = np.random.default_rng(0).integers(0, 256, (25, 128, 128, 3), dtype=np.uint8)\n"
    "print(player.controls, player.autoplay, type(lesson._player(noise, 25, None, b'', 'noise')).__name__)",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[NotebookNode]]:
    """What each of `CELLS` shows."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    with kernel() as manager:
        cells = execute(notebook, manager).notebook.cells
    return {name: cell.outputs for name, cell in zip(CELLS, cells, strict=True)}


def forms(output: NotebookNode) -> set[str]:
    return set(output.data)


@pytest.mark.slow
def test_begin_is_quiet(outputs: dict):
    assert outputs["begin"] == []


def test_a_quiz_is_a_fold_where_no_kernel_lives(outputs: dict):
    (output,) = outputs["quiz"]
    assert forms(output) == {WIDGET, "text/html", "text/plain"}
    page = output.data["text/html"]
    assert "Is <code>a</code> &lt; b?" in page and "<li>no <code>b</code></li>" in page and "<script" not in page
    assert page.endswith("<details><summary>Answer</summary><p><strong>A.</strong> It is.</p></details>")
    assert output.data["text/plain"] == "Predict. Is `a` < b?\nA. yes\nB. no `b`\nAnswer: A. It is."


def test_a_quiz_answers_each_choice(outputs: dict):
    (printed,) = outputs["quiz, wrong then right"]
    assert printed.text.count("so.") == 2 and "Not quite: B." in printed.text and "Right." in printed.text


def test_a_figure_has_words_and_a_caption(outputs: dict):
    picture, caption = outputs["show"]
    assert forms(picture) == {"image/png", "text/plain"} and picture.data["text/plain"] == "a line"
    assert picture.metadata["image/png"]["alt"] == "a line"
    with Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"]))) as read:
        assert read.size == (440, 220)
    assert caption.data["text/html"] == "<p><em>It rises.</em></p>" and caption.data["text/plain"] == "It rises."


def test_a_table_is_escaped(outputs: dict):
    (output,) = outputs["table"]
    assert '<th scope="col"><code>x</code></th>' in output.data["text/html"]
    assert "<td>&lt;b&gt;</td><td>0.333</td>" in output.data["text/html"]


def test_an_explorer_stores_its_static_picture_in_the_same_output(outputs: dict):
    output, caption = outputs["explore"]
    assert forms(output) == {WIDGET, "image/png", "text/plain"}
    assert output.data["text/plain"] == "a line to two" and caption.data["text/plain"] == "It rises."


def test_an_explorer_redraws_when_a_slider_stops(outputs: dict):
    assert outputs["explore, moved"][0].text == "False end True\n"


def test_a_video_has_a_still_and_never_starts_alone(outputs: dict):
    (output,) = outputs["play"]
    assert forms(output) == {WIDGET, "image/png", "text/plain"} and output.data["text/plain"] == "nothing"
    assert outputs["play, parts"][0].text == "True False HTML\n", "a large video is left out"
