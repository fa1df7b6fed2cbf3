"""The look inside a finished video: the same video again, small enough to keep, drawn and told without the model."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest
import tiny
from PIL import Image
from video_requests import video_request

from humo.explain.figures import Trace, schedule
from humo.guidance import make_rule
from humo.media import read_sound
from humo.space.inspect import look_inside_view as inside_view
from humo.space.inspect.look_inside import (
    MAX_FRAMES,
    MAX_PIXELS,
    MAX_STEPS,
    QUALITIES,
    Inside,
    look_inside,
    looked_steps,
    spread,
)
from humo.space.jobs.job import Stopped

MODES = ("T", "TI", "TA", "TIA")
RULE = {"rule": "paper", "text": 3.0, "image": 2.0, "audio": 2.0, "early": [4.0, 1.0, 1.0], "switch": 900.0}
ask = partial(video_request, num_inference_steps=4, guidance=RULE, seed=3)


@pytest.fixture(scope="module")
def looked(mini_pipeline, tmp_path_factory) -> dict[str, Inside]:
    folder = tmp_path_factory.mktemp("inside")
    return {mode: look_inside(mini_pipeline, ask(mode, folder)) for mode in MODES}


def webp(frame: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def pictures(html: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(re.sub(r"(<img[^>]*)>", r"\1/>", html)).iter("img"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_same_video(mini_pipeline, looked, tmp_path, mode: str) -> None:
    first, seen = ask(mode, tmp_path).run(mini_pipeline), looked[mode]
    assert np.array_equal(seen.frames, first.frames[list(seen.frame_numbers)])
    assert seen.settings == first.settings and seen.num_frames == 9 and seen.frame_numbers == (0, 3, 7)
    expected = schedule(make_rule(RULE), 4, 5.0, "I" in mode, "A" in mode)
    np.testing.assert_allclose(seen.schedule.weights, expected.weights)


@pytest.mark.slow
def test_its_pictures_are_those_of_their_steps(mini_pipeline, looked, tmp_path) -> None:
    trace, seen = Trace(mini_pipeline), looked["TIA"]
    ask("TIA", tmp_path).run(mini_pipeline, on_step=trace)
    for step, film in enumerate(seen.predicted):
        for number, data in zip(seen.frame_numbers, film, strict=True):
            assert any(webp(trace.frames(step)[number], quality) == data for quality in QUALITIES)


@pytest.mark.parametrize("mode", MODES)
def test_it_holds_what_was_given(looked, mode: str) -> None:
    seen = looked[mode]
    names = {"T": "text", "I": "image", "A": "audio"}
    assert seen.steps == (0, 1, 2, 3) and seen.masks.shape[:2] == (4, 3) and seen.masks.dtype == np.uint8
    for look in seen.looks:
        assert list(look.change) == list(look.without) == [names[letter] for letter in mode]
        brightest = [np.asarray(inside_view.open_picture(data)).max() for film in look.change.values() for data in film]
        assert max(brightest) > 220 and look.change_top > 0 and look.mask.shape == seen.masks.shape[1:]
        assert (look.sound is not None) == ("A" in mode) and (look.sound_top > 0) == ("A" in mode)
    assert [look.step for look in seen.looks] == sorted(looked_steps(seen.schedule.timesteps.tolist()))


def test_it_is_small_and_travels(looked) -> None:
    for seen in looked.values():
        data = pickle.dumps(seen)
        assert len(data) < 8_000_000 and b"torch" not in data
        again = pickle.loads(data)
        assert np.array_equal(again.frames, seen.frames) and again.predicted == seen.predicted


@pytest.mark.slow
def test_a_large_and_long_video_stays_small(mini_pipeline, tmp_path) -> None:
    request = ask("TIA", tmp_path, num_inference_steps=MAX_STEPS + 4, height=256, width=320)
    seen = look_inside(mini_pipeline, replace(request, num_frames=61, audio=read_sound(tiny.voice(61 / 25))))
    assert len(seen.steps) == len(seen.predicted) == len(seen.masks) == MAX_STEPS
    assert seen.steps[0] == 0 and seen.steps[-1] == MAX_STEPS + 3 and len(seen.timesteps) == MAX_STEPS
    assert len(seen.frames) == len(seen.frame_numbers) == MAX_FRAMES and seen.frame_numbers[-1] == 59
    assert seen.frames.shape[1] * seen.frames.shape[2] <= MAX_PIXELS and len(pickle.dumps(seen)) < 8_000_000
    assert seen.frames.shape[2] / seen.frames.shape[1] == pytest.approx(320 / 256, rel=0.02)


@pytest.mark.slow
def test_a_model_without_focus_head_says_so(wan_pipeline, tmp_path) -> None:
    seen = look_inside(wan_pipeline, ask("TIA", tmp_path, guidance={}))
    assert seen.masks is None and seen.rule == make_rule({"rule": "published_17b"})
    view = inside_view.masks_view(seen, 1, 1)
    assert view.words == inside_view.NO_MASKS and not view.large
    assert inside_view.NO_MASKS in inside_view.to_html(view)
    assert "on the face" not in inside_view.to_html(inside_view.senses_view(seen, 0, 0))


@pytest.mark.slow
def test_progress_is_told_and_stops_it(mini_pipeline, tmp_path) -> None:
    told: list[tuple[int, int, str]] = []
    look_inside(mini_pipeline, ask("T", tmp_path), lambda *part: told.append(part))
    done = [each for each, total, _ in told if total]
    assert done == sorted(done) and done[-1] == told[-1][1] == 8 and all(words for *_, words in told)
    for moment in (0, 2, 5):

        def stop(done: int, total: int, words: str, moment: int = moment) -> None:
            if done >= moment:
                raise Stopped

        with pytest.raises(Stopped):
            look_inside(mini_pipeline, ask("T", tmp_path), stop)


def test_without_a_seed_it_would_be_another_video(mini_pipeline, tmp_path) -> None:
    with pytest.raises(ValueError, match="seed is missing"):
        look_inside(mini_pipeline, ask("T", tmp_path, seed=None))


def test_spread_keeps_both_ends() -> None:
    assert spread(50, 16)[0] == 0 and spread(50, 16)[-1] == 49 and len(set(spread(50, 16))) == 16
    assert spread(3, 16) == (0, 1, 2) and spread(1, 16) == (0,)


# What is seen


@pytest.mark.parametrize("mode", MODES)
def test_every_picture_has_words_and_every_view_a_table(looked, mode: str) -> None:
    seen = looked[mode]
    views = {
        "masks": inside_view.masks_view(seen, 2, 1),
        "schedule": inside_view.schedule_view(seen),
        "senses": inside_view.senses_view(seen, 0, 1),
        "sound": inside_view.sound_view(seen, 0, 1),
    }
    counts = {"masks": 2 + 4, "schedule": 0, "senses": 2 + 2 * len(mode), "sound": 4 if "A" in mode else 0}
    for name, view in views.items():
        html = inside_view.to_html(view)
        found = pictures(html)
        assert len(found) == counts[name] and all(len(each.get("alt")) > 20 for each in found)
        assert view.words in html.replace("&#x27;", "'")
        assert ("<table>" in html) == bool(view.table) and (view.table or name == "sound")
        assert "http" not in html.replace("http-equiv", "")
    assert ("voice" in views["senses"].words) == ("A" in mode)
    assert (views["sound"].words == inside_view.NO_SOUND) == ("A" not in mode)


def test_large_pictures_are_large(looked) -> None:
    view = inside_view.masks_view(looked["TIA"], 0, 0)
    assert all(max(shot.picture.size) >= 384 for shot in view.large)
    assert [shot.is_chosen for shot in view.small] == [True, False, False, False]
    assert inside_view.NO_TRUTH in view.words and "Step 1 of 4" in view.words


def test_a_mask_is_drawn_where_it_is() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[1:3, 1:3] = 1
    plain = Image.new("RGB", (64, 64), "#c8c8c8")
    seen = np.asarray(inside_view.outlined(plain, mask, 256)).astype(int)
    assert (seen[4, 4] == 200).all() and np.ptp(seen[128, 128]) > 20 and seen.shape == (256, 256, 3)
    assert (np.asarray(inside_view.outlined(plain, np.zeros((4, 4)), 256)) == 200).all()


def test_light_grows_with_the_change() -> None:
    values = np.repeat(np.linspace(0, 20, 64, dtype=np.float32)[None], 64, axis=0)
    seen = np.asarray(inside_view.glowing(values, 10.0, "#0072B2", 64)).astype(int)
    assert seen[32, 0].max() <= 2 and seen[32, -1].min() >= 253
    assert np.abs(seen[32, 16] - [0, 0x72, 0xB2]).max() < 12


def test_one_block_can_be_chosen(looked) -> None:
    every, one = (inside_view.sound_view(looked["TA"], 0, 1, block) for block in (None, 1))
    assert "all blocks" in every.words and "block 2" in one.words
    assert [shot.is_chosen for shot in one.small] == [False, True]
    first, second = (np.asarray(view.large[0].picture) for view in (every, one))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda seen: inside_view.masks_view(seen, 4, 0), "step is 4 but 4"),
        (lambda seen: inside_view.masks_view(seen, 0, -1), "frame is -1 but 3"),
        (lambda seen: inside_view.senses_view(seen, 9, 0), "look is 9"),
        (lambda seen: inside_view.sound_view(seen, 0, 3), "frame is 3"),
        (lambda seen: inside_view.sound_view(seen, 0, 0, 2), "block is 2 but there are 2"),
    ],
)
def test_what_was_not_kept_is_refused(looked, draw, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw(looked["TIA"])


def test_words_from_the_table_are_the_tables() -> None:
    html = inside_view.table_html("| a | b |\n|---|---|\n| 1 | <i> |\n\n7 passes.")
    assert '<th scope="row">1</th><td>&lt;i&gt;</td>' in html and html.endswith("<p>7 passes.</p>")


def test_looking_at_it_needs_no_torch(looked, tmp_path) -> None:
    (tmp_path / "seen").write_bytes(pickle.dumps(looked["TIA"]))
    code = (
        "import pickle, sys; from humo.space.inspect import look_inside_view as v;"
        "seen = pickle.load(open(sys.argv[1], 'rb'));"
        "[v.to_html(x) for x in (v.masks_view(seen, 0, 0), v.schedule_view(seen), v.senses_view(seen, 0, 0),"
        " v.sound_view(seen, 0, 0))]; sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "seen"], check=False).returncode == 0


def test_kept_pictures_are_webp(looked) -> None:
    data = looked["TI"].predicted[0][0]
    assert Image.open(io.BytesIO(data)).format == "WEBP" and inside_view.open_picture(data).mode == "RGB"
