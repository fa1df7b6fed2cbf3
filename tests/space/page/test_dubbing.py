"""A dub on the page without a browser: what is asked for, what the tasks do.

Run: python -m pytest tests/space/page/test_dubbing.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
import tiny
import torch
from page_parts import backend_of, page_of
from PIL import Image

from humo import media
from humo.dubbing.shape import Part
from humo.pipeline import HuMoPipeline
from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Moment
from humo.space.jobs.limits import Limits
from humo.space.jobs.manager import JobManager
from humo.space.jobs.served_model import ServedModel
from humo.space.links.mp4_metadata import read_texts
from humo.space.page.dubbing.events import read_wish, take
from humo.space.page.dubbing.tasks import DubClip, FindRegion, Wish
from humo.space.page.dubbing.view import Dubbing, dubbing
from humo.space.temporary import DiskQuota
from humo.world.clips import plan_clip, render_clip


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A clip of 10 frames in 128x128 pixels, twice what the model sees, and a voice."""
    frames = render_clip(plan_clip(1), num_frames=10, size=64).frames
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(0.4))
    return media.write_video(tmp_path / "clip.mp4", frames, scale=2), tmp_path / "voice.wav"


@pytest.fixture
def pipe() -> HuMoPipeline:
    """Sees a face in the lower half of everything."""
    pipe = tiny.pipeline("mini", supported_sizes=[[64, 64]])
    with torch.no_grad():
        for readout in pipe.focus_head.readouts:
            readout[-1].weight.zero_()
            readout[-1].bias.copy_(torch.tensor([-9.0, -9.0, 9.0, 9.0]))
    return pipe


def _values(dub: Dubbing, files: tuple[Path, Path]) -> dict[Any, Any]:
    sides = dict(zip(dub.sides, (5, 0, 0, -5), strict=True))
    return {dub.clip: str(files[0]), dub.audio: str(files[1]), dub.part: "face", dub.margin: 3, dub.hold: True} | sides


def test_what_the_widgets_ask_for(files: tuple[Path, Path]) -> None:
    with gr.Blocks():
        dub = dubbing()
    values = _values(dub, files)
    wish = read_wish(values, dub)
    assert wish == Wish(
        clip=files[0], audio=files[1], part=Part.FACE, margin=3, sides=(5, 0, 0, -5), hold=True, seed=wish.seed
    )
    for widget, value, words in (
        (dub.clip, None, "There is no clip yet: upload one, or take the video above."),
        (dub.audio, None, "There is no new voice yet: upload a sound, or record one."),
        (dub.margin, 99, "margin is 99: it must be a number from 0 to 15."),
        (dub.sides[1], -21, "a side is -21: it must be a number from -20 to 20."),
    ):
        with pytest.raises(ValueError) as refused:
            read_wish({**values, widget: value}, dub)
        assert str(refused.value) == words
    with pytest.raises(gr.Error, match="There is no video yet"):
        take(None)


def test_a_region_of_other_wishes_is_hidden(pipe: HuMoPipeline, tmp_path: Path) -> None:
    blocks = page_of(backend_of(pipe, tmp_path))
    hiding = [fn for fn in blocks.fns.values() if [each.elem_id for each in fn.outputs] == ["dub-found"]]
    assert all(fn.fn()["visible"] is False for fn in hiding)
    changed = {blocks.blocks[target].label for fn in hiding for target, event in fn.targets if event == "change"}
    sides = {f"Further {side}" for side in ("left", "up", "right", "down")}
    hold = "Hold the last frame under a longer voice"
    assert changed == {"Clip", "New voice", "Part of the face", "Margin", hold} | sides


def test_the_tasks_show_the_region_and_make_the_dub(
    pipe: HuMoPipeline, files: tuple[Path, Path], tmp_path: Path
) -> None:
    wish = Wish(clip=files[0], audio=files[1], part=Part.FACE, margin=0, sides=(0, 0, 0, 0), hold=False, seed=4)
    shape = wish.read(pipe)[1]
    assert shape.margin == 0 and Wish.read(wish, pipe)[0].frames.shape == (10, 128, 128, 3)
    moments = list[Moment]()
    picture = FindRegion(wish).run(pipe, moments.append)
    assert isinstance(picture, Image.Image) and picture.size == (640, 160)
    assert moments[0].words == "Looking for the face"
    moments.clear()
    result = DubClip(wish, tmp_path / "new" / "dub.mp4").run(pipe, moments.append)
    assert (
        result.num_frames == 10 and result.has_sound and [(each.step, each.num_steps) for each in moments] == [(1, 1)]
    )
    told = read_texts(result.path)
    assert told["comment"] == media.AI_NOTICE and '"mode": "dub"' in told["description"]
    assert result.settings["clip"] == [10, 128, 128] and result.settings["seed"] == 4


def test_a_clip_of_large_frames_is_refused(pipe: HuMoPipeline, files: tuple[Path, Path], tmp_path: Path) -> None:
    wish = Wish(clip=files[0], audio=files[1], part=Part.FACE, margin=0, sides=(0, 0, 0, 0), hold=False, seed=4)
    large = media.write_video(tmp_path / "large.mp4", np.zeros((2, 1442, 1440, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^video large\.mp4 has 1440x1442 pixels but at most 2,073,600, as of 1920x"):
        replace(wish, clip=large).read(pipe)
    most = media.write_video(tmp_path / "most.mp4", np.zeros((2, 1440, 1440, 3), np.uint8))
    with pytest.raises(ValueError, match="shows no drawn person"):  # read and looked at
        replace(wish, clip=most).read(tiny.pipeline("mini", supported_sizes=[[64, 64]], draws_photographs=True))


def test_sides_are_shares_of_the_clips_height(pipe: HuMoPipeline, files: tuple[Path, Path]) -> None:
    wish = Wish(clip=files[0], audio=files[1], part=Part.MOUTH, margin=5, sides=(10, 0, -5, 0), hold=False, seed=4)
    shape = wish.read(pipe)[1]
    np.testing.assert_allclose((shape.margin, *shape.sides), (6.4, 12.8, 0, -6.4, 0))


def test_a_clip_must_have_been_uploaded_here(tmp_path: Path, pipe: HuMoPipeline) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    model = ServedModel.of_pipeline(pipe, "tiny").model
    admission = Admission(JobManager(model, DiskQuota(uploads, 1 << 30)), Limits(), [uploads])
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match="^clip clip.mp4 was not uploaded here: "):
        admission.check_file("clip", tmp_path / "clip.mp4")
    (uploads / "clip.mp4").write_bytes(b"x")
    admission.check_file("clip", uploads / "clip.mp4")
