"""The page without a browser: its layout, what its events do, the examples and the colours.

Run: python -m pytest tests/space/test_app.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import made
import pytest
import soundfile
import tiny
from page_parts import backend_of, page_of
from project import ROOT

from humo.guidance import RULES
from humo.media import read_picture
from humo.pipeline import HuMoPipeline
from humo.space.application.building import make_tab
from humo.space.examples import read_examples
from humo.space.jobs.admission import Admission
from humo.space.jobs.limits import Limits
from humo.space.jobs.request import MODES, Defaults, frames_for
from humo.space.links.settings import VideoSettings
from humo.space.page import layout
from humo.space.page.events import filling, sharing
from humo.space.page.events.generating import Made
from humo.space.page.scales import rule_choices, rule_note
from humo.space.page.theme import make_theme
from humo.space.page.widgets import Inputs, Settings, read_request
from humo.space.state import Backend
from humo.timing import PUBLISHED_FRAMES

PROMPT = "a woman with red hair talks"


@pytest.fixture
def backend(mini_pipeline: HuMoPipeline, tmp_path: Path) -> Backend:
    """A page's back with the tiny model and empty folders."""
    return backend_of(mini_pipeline, tmp_path)


def _defaults(guidance: dict[str, Any], **changes: Any) -> Defaults:
    plain = dict(num_inference_steps=20, num_frames=49, max_frames=None, size=(128, 128), sizes=((128, 128),))
    return Defaults(**{**plain, "guidance": guidance, "trained_frames": None, "shift": 5.0, **changes})


def test_lengths_scales_and_modes() -> None:
    assert [frames_for(seconds) for seconds in (0.2, 1.0, 2.0, 4.0)] == [5, 25, 49, 101]
    assert [frames_for(1.9, longest) for longest in (None, 49, 48)] == [49, 49, 45]
    paper = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.0, 3.0, 1.0]}
    defaults = _defaults(paper)
    assert defaults.scale("image") == 2.0 and defaults.scale("switch") == 980 and defaults.scale("rule") is None
    assert defaults.with_scales(text=4.0, audio=None, other=1.0) == {**paper, "text": 4.0}
    ramp = _defaults({"rule": "published_17b", "text": {"ramp": "linear", "early": 6.0, "late": 3.0}})
    assert ramp.scale("text") is None and ramp.scale("image") is None and ramp.with_scales(text=1.0) == ramp.guidance
    same = defaults.with_rule("published_17b").with_rule("paper")  # not the model's own: the same scales throughout
    assert same.scale("switch") is None and defaults.with_rule("published_17b").scale("switch") == 980
    assert (defaults.longest_by_sound, replace(defaults, max_frames=49).longest_by_sound) == (PUBLISHED_FRAMES, 49)
    assert replace(defaults, trained_frames=49).longest_by_sound is None
    assert defaults.size_choices() == [("128 × 128, square", "128x128")]
    large = replace(defaults, size=(480, 832), sizes=((480, 832), (832, 480)))
    assert large.read_size(None) == (480, 832) and large.read_size("480x832") == (832, 480)
    with pytest.raises(ValueError, match="use 832x480, 480x832"):
        large.read_size("1x1")
    by_key = {mode.key: mode for mode in MODES}
    by_key["TA"].check(None, "voice.wav")
    with pytest.raises(ValueError, match="needs a picture"):
        by_key["TIA"].check(None, "voice.wav")
    with pytest.raises(ValueError, match="needs a voice"):
        by_key["TIA"].check("face.png", None)


OWN = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.5, 3.5, 1.0], "switch": 900.0}
SCALES_OF = {
    "paper": {"text": 2.5, "image": 2.0, "audio": 3.0, "switch": 900.0, "until": 0.0},
    "published_17b": {"text": 5.0, "audio": 5.5, "switch": 980.0},
    "published_1_7b": {"text": 7.5, "image": 4.0, "audio": 7.5},
    "constant": {"text": 2.5, "image": 2.0, "audio": 2.5, "until": 0.0},
}


def test_rules_tell_what_no_slider_shows() -> None:
    own = _defaults(OWN)
    assert rule_choices("paper")[0] == ("paper (this model's own)", "paper")
    assert {name for _, name in rule_choices("paper")} == set(RULES) == set(SCALES_OF)
    assert own.with_rule(None) is own.with_rule("paper") is own
    assert rule_note(own).endswith("which stay as they are: text 4.5, picture 3.5, voice 1.")
    assert rule_note(own.with_rule("published_17b")) == "This rule has no scale for the picture."
    assert rule_note(own.with_rule("constant")) == ""
    ramp = replace(own, guidance={"rule": "constant", "text": {"ramp": "linear", "early": 6.0, "late": 3.0}})
    assert rule_note(ramp) == "Its scale for the text changes with time and stays as it is."


@pytest.mark.slow
def test_choosing_a_rule_shows_its_scales_and_asks_for_it(backend: Backend, mini_pipeline: HuMoPipeline) -> None:
    own = replace(backend.serving.defaults, guidance=OWN, num_inference_steps=2)

    async def build() -> tuple[Inputs, Settings]:
        with gr.Blocks(analytics_enabled=False):
            return make_tab(MODES[0], backend), layout.settings(own)

    inputs, settings = asyncio.run(build())
    assert settings.rule.value == "paper" and settings.note.visible
    assert {name: slider.value for name, slider in settings.scales.items() if slider.visible} == SCALES_OF["paper"]
    values = {widget: widget.value for widget in (*inputs.widgets(), *settings.widgets())}
    values |= {inputs.prompt: PROMPT, inputs.seconds: 0.2}
    for rule in ("published_17b", "published_1_7b", "constant", "paper"):
        view = filling.on_rule(settings)(rule)
        shown = {name: view[slider]["value"] for name, slider in settings.scales.items() if view[slider]["visible"]}
        assert shown == SCALES_OF[rule]
        assert view[settings.note]["visible"] is bool(rule_note(own.with_rule(rule)))
        values |= {settings.rule: rule, **{settings.scales[name]: value for name, value in shown.items()}}
        values[settings.scales["text"]] = 3.5  # the visitor's own
        if until := 600.0 * (rule == "constant"):
            values[settings.scales["until"]] = until
        request, _ = read_request(values | {inputs.image: "face.png"}, inputs, settings)
        expected = {"rule": rule, **SCALES_OF[rule], "text": 3.5, "until": until}
        if not until:  # guidance to the end is not told
            del expected["until"]
        assert {key: request.guidance[key] for key in request.guidance if key != "early"} == expected
        video = replace(request, images=()).run(mini_pipeline)
        assert expected.items() <= video.settings["guidance"].items(), "remembered in the video"
    assert request.guidance["early"] == [4.5, 3.5, 1.0], "back at the model's own"


def test_a_seed_that_a_browser_would_round_is_told(backend: Backend) -> None:
    async def build() -> tuple[gr.Tabs, list[Inputs], Settings]:
        with gr.Blocks(analytics_enabled=False):
            with gr.Tabs() as modes:
                tabs = [make_tab(mode, backend) for mode in MODES]
            return modes, tabs, layout.settings(backend.serving.defaults)

    modes, tabs, settings = asyncio.run(build())
    video = VideoSettings.of_plain({**made.SETTINGS, "seed": sharing.LARGEST_SEED})
    assert sharing.restored(video, {}, modes, tabs, settings)[settings.seed] == sharing.LARGEST_SEED
    with pytest.warns(UserWarning, match=f"The seed, {sharing.LARGEST_SEED + 1}, has more digits"):
        view = sharing.restored(replace(video, seed=sharing.LARGEST_SEED + 1), {}, modes, tabs, settings)
    assert view[settings.seed] is None
    plain = {**made.SETTINGS, "num_inference_steps": 4}
    for model, steps in (("humo-mini", 4), ("humo-mini-fast", settings.defaults.num_inference_steps)):
        video = VideoSettings.of_plain({**plain, "model": model})
        assert sharing.restored(video, {}, modes, tabs, settings)[settings.steps] == steps


def test_a_long_voice_is_estimated_as_the_clip_that_is_made_of_it(backend: Backend, tmp_path: Path) -> None:
    large = replace(backend.serving.defaults, max_frames=None, trained_frames=None)
    asked = []
    serving = SimpleNamespace(defaults=large, predict=asked.append)
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(60.0))

    async def build() -> tuple[Inputs, Settings]:
        with gr.Blocks(analytics_enabled=False):
            with gr.Tabs():
                inputs = make_tab(MODES[1], backend)
            return inputs, layout.settings(large)

    inputs, settings = asyncio.run(build())
    values = {widget: widget.value for widget in [*inputs.widgets(), *settings.widgets()]}
    values |= {inputs.prompt: "a man talks", inputs.audio: str(tmp_path / "voice.wav"), settings.mode: MODES[1].key}
    filling.on_estimate(inputs, settings, serving)(values)
    assert [request.num_frames for request in asked] == [PUBLISHED_FRAMES]


def test_examples_are_whole_and_every_tab_has_one() -> None:
    examples = read_examples()
    assert {example.mode for example in examples} == {mode.key for mode in MODES}
    for example in examples:
        mode = next(mode for mode in MODES if mode.key == example.mode)
        mode.check(example.image, example.audio)
        assert (example.image is not None, example.audio is not None) == (mode.needs_image, mode.needs_audio)


def test_layout_has_a_tab_for_each_mode_and_keeps_its_events_private(backend: Backend) -> None:
    page = page_of(backend)
    config = page.get_config_file()
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs[:4] == ["Text + Image", "Text + Audio", "Text + Image + Audio", "Gallery"]
    public = {each["api_name"] for each in config["dependencies"] if each["api_visibility"] != "private"}
    assert public == {"text_image", "text_audio", "text_image_audio", "generate"}
    assert page.analytics_enabled is False
    assert not [part for part in config["components"] if part["type"] == "picturefile"], "drawn as gradio's own image"


def test_uploads_are_looked_at_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    tiny.picture().save(tmp_path / "good.png")
    check = filling.on_upload(read_picture)
    with pytest.warns(UserWarning, match="Picture bad.png has no picture inside"):
        assert check(str(tmp_path / "bad.png")) is None
    assert check(None) is None and check(str(tmp_path / "good.png")) is not None


def _contrast(first: str, second: str) -> float:
    """WCAG 2 contrast of two colours like #rrggbb."""

    def luminance(colour: str) -> float:
        colour = "#ffffff" if colour == "white" else colour
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["", "_dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("body_text_color", "body_background_fill"),
        ("body_text_color_subdued", "body_background_fill"),
        ("body_text_color_subdued", "background_fill_secondary"),
        ("block_info_text_color", "block_background_fill"),
        ("block_label_text_color", "block_label_background_fill"),
        ("input_placeholder_color", "input_background_fill"),
        ("link_text_color", "body_background_fill"),
        ("button_primary_text_color", "button_primary_background_fill"),
        ("button_secondary_text_color", "button_secondary_background_fill"),
        ("button_cancel_text_color", "button_cancel_background_fill"),
    ],
)
def test_text_is_readable_in_both_schemes(scheme: str, text: str, ground: str) -> None:
    theme = make_theme()

    def colour(name: str) -> str:
        value = getattr(theme, name + scheme)
        return getattr(theme, value[1:]) if value.startswith("*") else value

    assert _contrast(colour(text), colour(ground)) >= 4.5


@pytest.mark.slow
def test_the_page_needs_no_torch_before_its_model_is_loaded() -> None:
    """Two threads that import diffusers at once trip over each other: only the loader's may."""
    code = (
        "import sys; from humo.space.environment import prepare; prepare(); import humo.space.application.serving;"
        "from PIL import Image; from humo.media import read_sound;"
        "from humo.space.page import previews; from humo.space import examples; from humo.space.page import curves;"
        "previews.seen_html(Image.new('RGB', (40, 30)), 128, 128);"
        "previews.heard_html(read_sound(examples.FOLDER / 'woman.wav'), 251);"
        "curves.schedule_svg({'rule': 'paper', 'text': 2.0, 'image': 2.0, 'audio': 2.0}, 8);"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_video_can_be_shared_anew_once_its_link_is_deleted(backend: Backend, mini_pipeline: HuMoPipeline) -> None:
    with gr.Blocks(analytics_enabled=False):
        links = layout.sharing(is_lasting=True)
    share, delete = sharing.on_share(links, backend), sharing.on_delete(links, backend)
    request, result = made.video(mini_pipeline, backend.folder / "film", "T")
    visitor: Any = SimpleNamespace(
        session_hash="anna", client=SimpleNamespace(host="1.2.3.4"), headers={"origin": "http://here"}
    )
    view = share(Made(request, result), True, visitor)
    again = delete(view[links.id], view[links.token]["value"])
    assert {*again} <= {*links.parts()} and "The link is deleted" in again[links.status]["value"]
    assert again[links.status]["visible"] and not again[links.link]["visible"] and not again[links.delete]["visible"]
    assert again[links.share]["visible"] and again[links.keeps_inputs]["visible"]
    assert again[links.keeps_inputs]["value"] is False, "what was kept by mistake is not kept again unasked"
    other = share(Made(request, result), False, visitor)
    assert other[links.id] != view[links.id] and other[links.link]["visible"]


def test_a_link_that_could_not_be_made_does_not_count(backend: Backend, mini_pipeline: HuMoPipeline) -> None:
    admission = Admission(backend.admission.manager, Limits(links_per_hour=1), [backend.folder])
    with gr.Blocks(analytics_enabled=False):
        links = layout.sharing(is_lasting=True)
    share = sharing.on_share(links, replace(backend, admission=admission))
    request, result = made.video(mini_pipeline, backend.folder / "film", "T")
    visitor: Any = SimpleNamespace(
        session_hash="anna", client=SimpleNamespace(host="1.2.3.4"), headers={"origin": "http://here"}
    )
    gone = Made(request, replace(result, path=result.path.with_name("gone.mp4")))
    for _ in range(2):
        with pytest.raises(gr.Error, match=r"gone\.mp4 is not there any more"):
            share(gone, False, visitor)
    assert share(Made(request, result), False, visitor)[links.link]["visible"] is True
    with pytest.raises(gr.Error, match="^'1 links an hour are granted here"):
        share(Made(request, result), False, visitor)
