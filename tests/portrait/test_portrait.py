"""humo.portrait: a person in a photograph as a value, read, drawn and described.

The photograph is Grace Hopper's, a work of the US Navy in the public domain, which matplotlib carries.

Run: python -m pytest tests/portrait/test_portrait.py
"""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageOps
from tokenizers import Tokenizer

from humo.portrait import ATTRIBUTES, GUESSES, Portrait, draw_portrait, is_drawing, read_portrait, write_caption
from humo.portrait import networks as net
from humo.portrait.caption import complete_prompt, describe_portrait
from humo.portrait.colours import name_background, name_clothes
from humo.portrait.detection import look_closer
from humo.portrait.drawing import QUIET, draw_cast
from humo.portrait.face import to_lab
from humo.portrait.hair import name_hair
from humo.portrait.portrait import PROPORTIONS
from humo.wording.vocabulary import find_words
from humo.world.clips import plan_clip, render_clip
from humo.world.people import BACKGROUNDS, COLOURS, HAIR_COLOURS

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
MINI = Path(__file__).parents[2] / "assets" / "humo-mini"
SHE = Portrait(
    gender="woman", skin="pale", hair_style="long", hair_colour="red", glasses="round", beard="none",
    eye_colour="green", garment="hoodie", colour="blue", background="orange", sure={"glasses": 0.9},
    proportions={"face_width": 1.05}, face=(1.0, 2.0, 30.0, 40.0), others=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    with Image.open(PHOTOGRAPH) as opened:
        return opened.convert("RGB")


def drawings() -> list[Portrait]:
    """People that differ from `SHE` in one attribute, once for each value."""
    return [dataclasses.replace(SHE, **{name: value}) for name, values in ATTRIBUTES.items() for value in values]


# The value


def test_a_portrait_is_plain_data_and_back():
    told = json.loads(json.dumps(SHE.to_plain()))
    assert Portrait.of_plain(told) == SHE
    assert Portrait.of_plain({}) == Portrait() and Portrait().attributes == {}
    assert list(SHE.attributes) == list(ATTRIBUTES) and set(GUESSES) < set(ATTRIBUTES)
    for bad in ([], None, "woman", {"hat": "top"}):
        with pytest.raises(ValueError, match="is no portrait: give an object with background, beard"):
            Portrait.of_plain(bad)


def test_corrections_are_sure():
    known = SHE.with_changes(glasses=None, beard="none")
    assert known.glasses is None and known.sure == {"beard": 1.0}
    assert SHE.sure == {"glasses": 0.9}
    with pytest.raises(ValueError, match="gender is 'robot': use woman, man, or None"):
        SHE.with_changes(gender="robot")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"colour": "grey"}, "colour is 'grey': use red, orange, .*, or None if it is not seen"),
        ({"hair_style": ["long"]}, r"hair_style is \"\['long'\]\": use bald"),
        ({"sure": {"hat": 1.0}}, "sure has 'hat': use gender"),
        ({"sure": {"beard": 1.5}}, "sure of beard is 1.5: use 0.0 to 1.0"),
        ({"sure": None}, "sure is 'None': give a number from 0.0 to 1.0 by name"),
        ({"proportions": {"beard": 1.0}}, "proportions has 'beard': use face_width"),
        ({"proportions": {"eye_size": float("nan")}}, "proportions of eye_size is nan: use 0.5 to 2.0"),
        ({"face": (1, 2, 1, 4)}, r"face is \(1, 2, 1, 4\): give left, top, right and bottom"),
        ({"face": [1, 2, 3, 4]}, "face is"),
        ({"others": -1}, "others is -1: give the number of further faces"),
    ],
)
def test_values_that_the_world_has_not(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Portrait(**fields)


# Drawing


def test_every_attribute_is_seen_in_the_drawing_but_its_own_value():
    pictures = {name: {draw_portrait(dataclasses.replace(SHE, **{name: value}), 64).tobytes() for value in values}
                for name, values in ATTRIBUTES.items()}  # fmt: skip
    assert {name: len(seen) for name, seen in pictures.items()} == {name: len(v) for name, v in ATTRIBUTES.items()}


def test_proportions_are_drawn():
    plain = draw_portrait(SHE, 64).tobytes()
    for name in PROPORTIONS:
        assert draw_portrait(dataclasses.replace(SHE, proportions={name: 0.9}), 64).tobytes() != plain, name


def test_what_was_not_seen_is_drawn_quietly():
    person, setting = draw_cast(Portrait())
    assert {name: getattr(person if hasattr(person, name) else setting, name) for name in QUIET} == QUIET
    assert draw_portrait(Portrait(), 32) == draw_portrait(Portrait(**QUIET, gender="man"), 32)
    for style, beard, gender in (("bun", None, "woman"), ("bun", "beard", "man"), ("short", "none", "man")):
        assert draw_cast(Portrait(hair_style=style, beard=beard))[0].gender == gender
    assert draw_portrait(SHE, 100).size == (100, 100)
    with pytest.raises(ValueError, match="A portrait of 15 pixels cannot be drawn: use 16 or more"):
        draw_portrait(SHE, 15)


# Is it a drawing?


def test_drawings_are_told_from_photographs(photograph: Image.Image):
    assert all(is_drawing(draw_portrait(portrait)) for portrait in drawings())
    assert not is_drawing(photograph) and not is_drawing(PHOTOGRAPH)
    assert not is_drawing(Image.new("RGB", (64, 64), BACKGROUNDS["blue"]))  # nobody is there
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert not is_drawing(Image.fromarray(noise))


@pytest.mark.parametrize("seed", range(8))
def test_renders_are_drawings_after_compression_too(seed: int):
    clip = render_clip(plan_clip(seed, "test"), num_frames=1)
    for pixels in (clip.reference, clip.frames[0]):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=75)
        with Image.open(file) as again:
            assert is_drawing(Image.fromarray(pixels)) and is_drawing(again)


# Reading


def test_colours_of_the_world_have_their_own_names():
    def lab(colour: tuple) -> np.ndarray:
        return to_lab(np.uint8([[colour]]))[0, 0]

    assert {name: name_clothes(lab(colour)) for name, colour in COLOURS.items()} == {name: name for name in COLOURS}
    assert {n: name_background(lab(colour)) for n, colour in BACKGROUNDS.items()} == {n: n for n in BACKGROUNDS}
    assert {name: name_hair(lab(colour)).value for name, colour in HAIR_COLOURS.items()} == {n: n for n in HAIR_COLOURS}


def test_a_photograph_is_read(photograph: Image.Image):
    seen = read_portrait(photograph)
    assert (seen.glasses, seen.beard, seen.colour, seen.others) == ("round", "none", "black", 0)
    left, top, right, bottom = seen.face
    assert left < 270 < right and top < 260 < bottom and 150 < right - left < 250  # the tip of the nose
    assert set(seen.sure) == set(seen.attributes)
    assert all(seen.sure[name] <= 0.5 for name in GUESSES if name in seen.sure)
    assert seen.garment is None and set(seen.proportions) <= set(PROPORTIONS)
    assert read_portrait(PHOTOGRAPH) == seen  # a path is as good as a picture, and nothing is left to chance


def test_a_mirrored_head_is_the_same_head(photograph: Image.Image):
    seen, mirrored = read_portrait(photograph), read_portrait(ImageOps.mirror(photograph))
    assert mirrored.attributes == seen.attributes


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_is_applied_first(photograph: Image.Image, orientation: int, tmp_path: Path):
    turned = photograph.rotate({3: 180, 6: 90, 8: 270}[orientation], expand=True)
    exif = Image.Exif()
    exif[274] = orientation
    turned.save(tmp_path / "turned.png", exif=exif)
    assert read_portrait(tmp_path / "turned.png") == read_portrait(photograph)


def test_a_tilted_head_is_laid_upright(photograph: Image.Image):
    seen = read_portrait(photograph.rotate(30, expand=True, fillcolor=(120, 120, 120)))
    assert (seen.glasses, seen.beard) == ("round", "none")


def test_a_small_face_is_found_in_a_part_of_the_picture(photograph: Image.Image):
    wide = Image.new("RGB", (1600, 1000), (90, 140, 90))
    wide.paste(photograph.resize((128, 150)), (1100, 500))
    left, top, right, bottom = read_portrait(wide).face
    assert left < 1100 + 67 < right and top < 500 + 65 < bottom and 35 < right - left < 90
    tiny = Image.new("RGB", (300, 300), (90, 140, 90))
    tiny.paste(photograph.resize((48, 56)), (100, 100))
    with pytest.raises(ValueError, match="face in the picture is [12].* pixels wide, at least 24 are needed"):
        read_portrait(tiny)


def test_of_several_faces_the_largest_is_read(photograph: Image.Image):
    pair = Image.new("RGB", (900, 600), (128, 128, 128))
    pair.paste(photograph, (0, 0))
    pair.paste(photograph.resize((307, 360)), (560, 100))
    seen = read_portrait(pair)
    assert seen.others == 1 and seen.face[2] < 512


def test_a_large_picture_gives_its_own_pixels(photograph: Image.Image):
    large = read_portrait(photograph.resize((2048, 2400)))
    assert np.allclose(np.array(large.face) / 4, read_portrait(photograph).face, atol=12)


@pytest.mark.parametrize("style", ["bald", "short", "long", "curly"])
def test_the_detector_finds_drawn_people_too(style: str):
    drawing = draw_portrait(dataclasses.replace(SHE, hair_style=style), 300)
    _, (found,) = next(look_closer(np.asarray(drawing)))
    left, top, right, bottom = found.box
    assert left < 150 < right and top < 131 < bottom and 80 < right - left < 200
    assert found.eyes[0, 0] < 150 < found.eyes[1, 0]


@pytest.mark.parametrize("colour", [(0, 0, 0), (200, 160, 120), (255, 255, 255)])
def test_nobody_is_told(colour: tuple):
    for size in ((64, 64), (16, 5000), (700, 20)):
        with pytest.raises(ValueError, match="No face is found in the picture: give one"):
            read_portrait(Image.new("RGB", size, colour))


def test_networks_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(net, "FOLDER", tmp_path)
    other = dataclasses.replace(net.DETECTOR, mean=1.0)  # not loaded yet
    picture = np.zeros((128, 128, 3), np.uint8)
    with pytest.raises(ValueError, match="face_detection_short_range.tflite is missing from assets/face"):
        net.run(other, picture)
    (tmp_path / other.file).write_bytes(b"TFL3")
    with pytest.raises(ValueError, match="face_detection_short_range.tflite in assets/face is damaged"):
        net.run(other, picture)


# Words


def test_captions_say_what_was_seen_in_words_that_mini_knows():
    tokenizer = Tokenizer.from_file(str(MINI / "tokenizer" / "tokenizer.json"))
    unknown = tokenizer.encode("xyzzy", add_special_tokens=False).ids[0]
    for portrait in drawings():
        caption = write_caption(portrait)
        assert unknown not in tokenizer.encode(caption).ids
        found = find_words(caption)
        told = {"hair_style": {"bald": "no hair", "bun": "in a bun"}, "glasses": {"sunglasses": "sunglasses"}}
        for name, value in portrait.attributes.items():
            if name == "eye_colour" or value == "none" or (name == "hair_colour" and portrait.hair_style == "bald"):
                continue
            assert told.get(name, {}).get(value, value) in found[name], (name, value, caption)
        assert found["speech"] == "talks"


def test_captions_leave_out_what_was_not_seen():
    assert write_caption(Portrait(), "nods") == "a person nods"
    assert write_caption(Portrait(gender="man"), "") == "a man"
    looks, outside = write_caption(SHE), write_caption(SHE, include_looks=False)
    assert "red hair" in looks and "hair" not in outside and "blue hoodie" in outside and "orange" in outside
    assert find_words(write_caption(Portrait(colour="red")))["colour"] == "red"


def test_a_prompt_is_completed_only_where_it_is_silent():
    completed, added = complete_prompt("A sailor talks about the sea", SHE)
    assert list(added) == ["garment", "colour", "background"] and completed.startswith("A sailor")
    assert find_words(completed).items() >= added.items()
    assert complete_prompt("a woman in a green dress, before a white wall", SHE)[1] == {}
    completed, added = complete_prompt("a woman in a dress", SHE)
    assert added == {"colour": "blue", "background": "orange"} and "a blue dress" in completed
    assert complete_prompt("a woman", Portrait(skin="tan")) == ("a woman", {})


def test_people_are_told_what_was_guessed_and_what_was_not_seen():
    told = describe_portrait(Portrait(skin="pale", hair_style="bald", glasses="none"))
    assert told == (
        "hair bald; glasses none; guessed: skin pale; "
        "not seen: gender, beard, eyes, clothes, colour of the clothes, background"
    )


def test_neither_opencv_nor_the_drawing_is_imported_before_it_is_used():
    code = "import sys, humo.portrait.caption, humo.portrait.drawn; print({'cv2', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
