"""humo.world's command: the contact sheet, the sample clip and the page's examples.

Run: python -m pytest tests/world/test_world_sheet.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import read_frames
from PIL import Image

from humo.space.examples import read_examples
from humo.timing import FPS, SAMPLE_RATE
from humo.world import plan_clip, render_clip
from humo.world.__main__ import main
from humo.world.examples import PORTRAITS, Portrait, draw_portrait, write_examples
from humo.world.people import IDENTITY_ATTRIBUTES, _in_tenth
from humo.world.sheet import COLUMNS, draw_sheet, sample_clips, show_areas, shown_frames

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"


def test_the_sheet_shows_frames_above_their_own_moment():
    shown = shown_frames(49)
    assert len(shown) == COLUMNS and np.all(np.diff(shown) > 0) and shown[-1] < 49
    clip = render_clip(plan_clip(0), 3, 64)
    areas = show_areas(clip, 1)
    assert areas.shape == (64, 64, 3) and areas.dtype == np.uint8
    plain = clip.face[1] & (clip.features[1] == 0)
    np.testing.assert_array_equal(areas[plain], clip.frames[1][plain])
    assert shown_frames(1).tolist() == [0] * COLUMNS


def test_the_command_draws_a_sheet_and_writes_a_clip_with_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sheet = tmp_path / "out.png"
    assert main(["--sheet", str(sheet), "--size", "33", "--frames", "9", "--clips", "2", "--split", "test"]) == 0
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 1500
    about = next(reader := read_frames(str(tmp_path / "out.mp4")))
    reader.close()
    assert about["fps"] == FPS and about["audio_codec"] == "aac" and about["size"][0] % 33 == 0
    assert capsys.readouterr().out.split() == [str(sheet), str(tmp_path / "out.mp4")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "nothing is asked for: give --sheet, --clip or --examples."),
        (["--sheet", "out.jpg"], "the sheet's name out.jpg must end in .png."),
        (["--sheet", "no/such/folder/out.png"], "choose a file name in a folder that exists and can be written."),
        (["--clip", "out.gif"], "the video's name out.gif must end in .mp4."),
        (["--clip", "out.mp4", "--split", "all"], "split is 'all': use one of train, validation, test."),
        (["--size", "4"], "--size"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert expected in capsys.readouterr().err


def test_the_examples_are_whole_and_readable_by_the_page(tmp_path: Path):
    written = write_examples(tmp_path / "examples")
    assert len(written) == 2 * len(PORTRAITS) + 1
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.format == "PNG" and picture.size == (256, 256) and picture.mode == "RGB"
        elif path.suffix == ".wav":
            about = soundfile.info(path)
            assert (about.samplerate, about.channels, about.subtype) == (SAMPLE_RATE, 1, "PCM_16")
            assert 2.0 <= about.duration <= 3.0
    examples = read_examples(tmp_path / "examples")
    assert {example.mode for example in examples} == {"TI", "TA", "TIA"}
    assert json.loads((EXAMPLES / "examples.json").read_text()) == json.loads(written[-1].read_text())
    with pytest.raises(ValueError, match="is a file: give a folder"):
        write_examples(written[0])


@pytest.mark.parametrize("portrait", PORTRAITS, ids=lambda portrait: portrait.name)
def test_the_examples_show_people_whom_training_never_sees(portrait: Portrait):
    person = portrait.plan().person
    assert _in_tenth("person/" + "/".join(getattr(person, name) for name in IDENTITY_ATTRIBUTES))


@pytest.mark.parametrize("portrait", PORTRAITS, ids=lambda portrait: portrait.name)
def test_the_bundled_pictures_are_what_the_world_draws(portrait: Portrait):
    with Image.open(EXAMPLES / f"{portrait.name}.png") as picture:
        shift = np.abs(np.asarray(picture).astype(int) - draw_portrait(portrait))
    assert shift.max() <= 1, "another processor may round otherwise"


def test_a_sheet_needs_clips():
    with pytest.raises(ValueError, match="there is no clip to show: give at least one."):
        draw_sheet([])
    with pytest.raises(ValueError, match=re.escape("0 clips from seed 8 are asked for: use 1 or more")):
        sample_clips(num_clips=0)
