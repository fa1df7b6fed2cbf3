"""The page without a browser: jobs, requests, their HTML, the examples and the layout.

Run: python -m pytest tests/test_app.py
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import tiny
from PIL import Image

import app
from humo.guidance import RULES
from humo.pipeline import HuMoPipeline
from humo.space import html
from humo.space.examples import read_examples
from humo.space.jobs import Device, Job, Model, Phase, Progress, Result, Stopped
from humo.space.request import MODES, Defaults, VideoRequest, frames_for
from humo.space.scales import rule_choices, rule_note
from humo.space.studio import MAX_JOBS, Studio
from humo.space.theme import make_theme
from humo.space.widgets import Inputs, Settings, read_request

PROMPT = "a woman with red hair talks"


@pytest.fixture
def studio(mini_pipeline: HuMoPipeline, tmp_path: Path) -> Studio:
    return Studio(Model(lambda: mini_pipeline), tmp_path)


def _follow(job: Job) -> list[Progress]:
    """Every moment of a job until it is over."""
    seen: list[Progress] = []
    deadline = time.monotonic() + 60
    while not seen or not seen[-1].phase.is_over:
        assert time.monotonic() < deadline
        seen.append(job.wait(seen[-1] if seen else None, 0.5))
    return seen


def _long_request() -> VideoRequest:
    return VideoRequest(prompt=PROMPT, num_frames=97, num_inference_steps=200, seed=1)


def test_job_tells_every_step_and_writes_the_video(studio: Studio, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(0.6))
    request = VideoRequest(prompt=PROMPT, audio=tmp_path / "voice.wav", num_inference_steps=6, seed=5)
    moments = _follow(studio.start("anna", request, "film"))
    last = moments[-1]
    assert last.phase is Phase.DONE and last.result.path.name == "film.mp4" and last.result.path.stat().st_size > 1000
    assert last.result.seed == 5 and last.result.num_frames == 13 and last.result.has_sound and last.result.notes
    assert last.preview.size == (64, 64)
    steps = [moment.step for moment in moments]
    assert steps == sorted(steps) and steps[-1] == last.num_steps == 6
    phases = [moment.phase for moment in moments]
    assert [phase for phase in Phase if phase in phases] == list(dict.fromkeys(phases)), "in their order"


def test_stop_ends_within_a_step_and_the_next_job_runs_then(studio: Studio) -> None:
    job = studio.start("anna", _long_request(), "long")
    while job.progress.step < 2:
        time.sleep(0.01)
    step, asked = job.progress.step, time.monotonic()
    studio.stop("anna")
    assert _follow(job)[-1].phase is Phase.STOPPED
    assert job.progress.step <= step + 1 and time.monotonic() - asked < 5
    short = VideoRequest(prompt=PROMPT, num_frames=5, num_inference_steps=1)
    assert _follow(studio.start("anna", short, "short"))[-1].phase is Phase.DONE


def test_bad_request_is_a_sentence_and_the_studio_goes_on(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("<svg/>")
    for request, words in [
        (VideoRequest(prompt=""), "prompt is empty"),
        (VideoRequest(prompt=PROMPT, images=(tmp_path / "x.png",)), "SVG"),
        (VideoRequest(prompt=PROMPT, num_frames=48), "4k+1"),
    ]:
        last = _follow(studio.start("anna", request, "film"))[-1]
        assert last.phase is Phase.FAILED and words in last.error and str(tmp_path) not in last.error
    assert _follow(studio.start("anna", VideoRequest(prompt=PROMPT, num_frames=5), "film"))[-1].phase is Phase.DONE


def test_one_job_a_visitor_and_a_limit_for_all(studio: Studio) -> None:
    jobs = [studio.start(f"visitor {number}", _long_request(), "long") for number in range(MAX_JOBS)]
    with pytest.raises(ValueError, match="still being made"):
        studio.start("visitor 0", _long_request(), "long")
    with pytest.raises(ValueError, match="already waiting"):
        studio.start("one too many", _long_request(), "long")
    deadline = time.monotonic() + 10
    while jobs[-1].progress.position != MAX_JOBS - 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [job.progress.position for job in jobs] == list(range(MAX_JOBS))
    studio.stop("a stranger")
    for number in range(MAX_JOBS):
        studio.stop(f"visitor {number}")
    assert all(_follow(job)[-1].phase is Phase.STOPPED for job in jobs)


def test_device_carries_one_at_a_time_in_order() -> None:
    device, running, order = Device(), [], []
    free = threading.Event()

    def work(number: int) -> None:
        with device.turn(lambda: False, lambda position: None):
            running.append(number)
            assert running == [number], "never two at once"
            free.wait(5)
            time.sleep(0.01)
            order.append(number)
            running.remove(number)

    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        time.sleep(0.05)
    free.set()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3]
    with (
        device.turn(lambda: False, lambda position: None),
        pytest.raises(Stopped),
        device.turn(lambda: True, lambda position: None),
    ):
        raise AssertionError("stopped while waiting")


def test_model_that_fails_to_load_is_tried_again(mini_pipeline: HuMoPipeline) -> None:
    answers = [ValueError("the weights are missing: fetch them."), mini_pipeline]

    def load() -> HuMoPipeline:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    model = Model(load)
    with pytest.raises(ValueError, match="fetch them"):
        model.get()
    assert model.get() is mini_pipeline and model.get() is mini_pipeline and answers == []


def test_old_videos_are_removed(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humo.space.studio.KEPT_FILES", 3)
    for _ in range(6):
        request = VideoRequest(prompt=PROMPT, num_frames=1, num_inference_steps=1)
        assert _follow(studio.start("anna", request, "film"))[-1].phase is Phase.DONE
    assert len(list(tmp_path.glob("*/*.mp4"))) == 3


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(phase=Phase.QUEUED, position=1), "1 video is before yours"),
        (Progress(phase=Phase.QUEUED, position=3), "3 videos are before yours"),
        (Progress(phase=Phase.LOADING, elapsed=4), "4 s"),
        (Progress(phase=Phase.DENOISING, step=3, num_steps=20, seconds_left=8.2), "about 8 s left"),
        (Progress(phase=Phase.DENOISING, step=3, num_steps=20, seconds_left=200), "about 3 minutes left"),
        (Progress(phase=Phase.STOPPED, step=3, num_steps=20), "after step 3 of 20"),
        (Progress(phase=Phase.FAILED, error="bad <script>."), "Bad &lt;script&gt;."),
    ],
)
def test_stage_says_what_happens(progress: Progress, words: str) -> None:
    shown = html.stage(progress)
    assert words in shown and 'role="status"' in shown
    assert ("<progress" in shown) is not progress.phase.is_over


def test_stage_shows_the_preview_inside_the_page() -> None:
    progress = Progress(phase=Phase.DENOISING, step=3, num_steps=20, preview=Image.new("RGB", (64, 64)))
    shown = html.stage(progress)
    assert 'src="data:image/webp;base64,' in shown and 'alt="Preview after step 3 of 20"' in shown
    assert 'value="15"' in shown
    assert "Your video appears here" in html.stage(None)


def test_summary_tells_seed_length_and_notes() -> None:
    result = Result(path=Path("x"), seed=7, num_frames=49, seconds=1.96, has_sound=True, notes=("Cut & done.",))
    shown = html.summary(result, 12.3)
    for words in ("2.0 s with your sound", "seed 7", "made in 12 s", "Cut &amp; done."):
        assert words in shown


def test_lengths_scales_and_modes() -> None:
    assert [frames_for(seconds) for seconds in (0.2, 1.0, 2.0, 4.0)] == [5, 25, 49, 101]
    assert [frames_for(1.9, longest) for longest in (None, 49, 48)] == [49, 49, 45]
    paper = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.0, 3.0, 1.0]}
    defaults = Defaults(guidance=paper, num_inference_steps=20, num_frames=49, max_frames=None)
    assert defaults.scale("image") == 2.0 and defaults.scale("switch") == 980 and defaults.scale("rule") is None
    assert defaults.with_scales(text=4.0, audio=None, other=1.0) == {**paper, "text": 4.0}
    ramp = Defaults(
        guidance={"rule": "published_17b", "text": {"ramp": "linear", "early": 6.0, "late": 3.0}},
        num_inference_steps=50,
        num_frames=97,
        max_frames=None,
    )
    assert ramp.scale("text") is None and ramp.scale("image") is None and ramp.with_scales(text=1.0) == ramp.guidance
    same = defaults.with_rule("published_17b").with_rule("paper")  # not the model's own: the same scales throughout
    assert same.scale("switch") is None and defaults.with_rule("published_17b").scale("switch") == 980
    by_key = {mode.key: mode for mode in MODES}
    by_key["TA"].check(None, "voice.wav")
    with pytest.raises(ValueError, match="needs a picture"):
        by_key["TIA"].check(None, "voice.wav")
    with pytest.raises(ValueError, match="needs a voice"):
        by_key["TIA"].check("face.png", None)


OWN = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.5, 3.5, 1.0], "switch": 900.0}
SCALES_OF = {
    "paper": {"text": 2.5, "image": 2.0, "audio": 3.0, "switch": 900.0},
    "published_17b": {"text": 5.0, "audio": 5.5, "switch": 980.0},
    "published_1_7b": {"text": 7.5, "image": 4.0, "audio": 7.5},
    "constant": {"text": 2.5, "image": 2.0, "audio": 2.5},
}


def test_rules_tell_what_no_slider_shows() -> None:
    own = Defaults(guidance=OWN, num_inference_steps=20, num_frames=49, max_frames=None)
    assert rule_choices("paper")[0] == ("paper (this model's own)", "paper")
    assert {name for _, name in rule_choices("paper")} == set(RULES) == set(SCALES_OF)
    assert own.with_rule(None) is own.with_rule("paper") is own
    assert rule_note(own).endswith("which stay as they are: text 4.5, picture 3.5, voice 1.")
    assert rule_note(own.with_rule("published_17b")) == "This rule has no scale for the picture."
    assert rule_note(own.with_rule("constant")) == ""
    ramp = replace(own, guidance={"rule": "constant", "text": {"ramp": "linear", "early": 6.0, "late": 3.0}})
    assert rule_note(ramp) == "Its scale for the text changes with time and stays as it is."


def test_choosing_a_rule_shows_its_scales_and_asks_for_it(mini_pipeline: HuMoPipeline) -> None:
    own = Defaults(guidance=OWN, num_inference_steps=2, num_frames=5, max_frames=None)

    async def build() -> tuple[Inputs, Settings]:
        with app.gr.Blocks(analytics_enabled=False):
            return app._tab(MODES[0], own, []), app._settings(own)

    inputs, settings = asyncio.run(build())
    assert settings.rule.value == "paper" and settings.note.visible
    assert {name: slider.value for name, slider in settings.scales.items() if slider.visible} == SCALES_OF["paper"]
    values = {widget: widget.value for widget in (*inputs.widgets(), *settings.widgets())}
    values |= {inputs.prompt: PROMPT, inputs.seconds: 0.2}
    for rule in ("published_17b", "published_1_7b", "constant", "paper"):
        view = app._rule_chooser(settings)(rule)
        shown = {name: view[slider]["value"] for name, slider in settings.scales.items() if view[slider]["visible"]}
        assert shown == SCALES_OF[rule]
        assert view[settings.note]["visible"] is bool(rule_note(own.with_rule(rule)))
        values |= {settings.rule: rule, **{settings.scales[name]: value for name, value in shown.items()}}
        values[settings.scales["text"]] = 3.5  # the visitor's own
        request, _ = read_request(values | {inputs.image: "face.png"}, inputs, settings)
        expected = {"rule": rule, **SCALES_OF[rule], "text": 3.5}
        assert {key: request.guidance[key] for key in request.guidance if key != "early"} == expected
        video = replace(request, images=()).run(mini_pipeline)
        assert expected.items() <= video.settings["guidance"].items(), "remembered in the video"
    assert request.guidance["early"] == [4.5, 3.5, 1.0], "back at the model's own"


def test_examples_are_whole_and_every_tab_has_one() -> None:
    examples = read_examples()
    assert {example.mode for example in examples} == {mode.key for mode in MODES}
    for example in examples:
        mode = next(mode for mode in MODES if mode.key == example.mode)
        mode.check(example.image, example.audio)
        assert (example.image is not None, example.audio is not None) == (mode.needs_image, mode.needs_audio)


def test_layout_has_three_tabs_and_keeps_its_events_private(studio: Studio, mini_pipeline: HuMoPipeline) -> None:
    async def build() -> app.gr.Blocks:  # inside a loop, for gradio would open one and leave it open
        return app.build_page(studio, Defaults.of_config(mini_pipeline.config), read_examples())

    page = asyncio.run(build())
    config = page.get_config_file()
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs == ["Text + Image", "Text + Audio", "Text + Image + Audio"]
    assert {each["api_visibility"] for each in config["dependencies"]} == {"private"}
    assert page.analytics_enabled is False
    assert not [part for part in config["components"] if part["type"] == "picturefile"], "drawn as gradio's own image"


def test_uploads_are_looked_at_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    tiny.picture().save(tmp_path / "good.png")
    check = app._checker(app.read_picture)
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
