"""What earlier versions of this project wrote opens today: links, videos, the gallery, models, shots.

The files are in tests/earlier; its README says which version made each.

Run: python -m pytest tests/test_earlier_versions.py
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from pages import EXAMPLES, Visit, chromium, serve
from playwright.sync_api import expect

import humo
from humo.__main__ import main
from humo.portrait import Portrait
from humo.space.examples import Example
from humo.space.links.gallery import read_gallery
from humo.space.links.records import Record
from humo.space.links.settings import VideoSettings, read_settings
from humo.space.links.storage import FolderStore, ReadOnlyStore

EARLIER = Path(__file__).parent / "earlier"
PROMPT = "a woman with red hair talks"
GUIDANCE = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0, "early": [4.0, 3.0, 1.0], "switch": 900.0}
FILMED = VideoSettings(
    mode="TA", prompt="a man with a beard talks", negative_prompt="", seed=10, num_inference_steps=3, num_frames=5,
    num_images=0, height=128, width=128, guidance={**GUIDANCE, "early": [4.5, 3.5, 1.0]}, model="",
)  # fmt: skip
KEPT = VideoSettings(
    mode="TIA", prompt="a woman with black hair, in a green shirt, talks", negative_prompt="", seed=11,
    num_inference_steps=3, num_frames=5, num_images=1, height=128, width=128, guidance=GUIDANCE, model="humo-mini",
)  # fmt: skip
DRAWN = VideoSettings(
    mode="TI", prompt="eine Frau mit roten Haaren nickt", negative_prompt="", seed=12, num_inference_steps=3,
    num_frames=5, num_images=1, height=128, width=128, guidance=GUIDANCE, model="humo-mini",
    prompt_read="a woman with red hair, in a blue shirt, nods",
    portrait=Portrait(hair_style="bun", hair_colour="red", glasses="round", garment="shirt", colour="blue"),
)  # fmt: skip
LINKS = {
    "5864a2d": ("n7sQQBVs8PcE1DGwKt-4xg", "FmIj-xWndyONH22Hh82a6w", KEPT),
    "1329b8e": ("ERYIX_roUz3dxWFw7ljAow", "ELZS24yxf-Z4pzcwKFq3SQ", DRAWN),
}
"""By commit: id, the key that deletes it, the settings."""


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The records of all versions in one folder, as on a page that was kept up to date."""
    for commit in LINKS:
        shutil.copytree(EARLIER / commit / "records", tmp_path / "records", dirs_exist_ok=True)
    return tmp_path / "records"


def unpacked(commit: str, name: str, folder: Path) -> Path:
    """A model's folder."""
    with tarfile.open(EARLIER / commit / f"{name}.tar.xz") as archive:
        archive.extractall(folder / name, filter="data")
    return folder / name


@pytest.mark.slow
def test_the_page_opens_links_and_videos(records: Path, tmp_path: Path) -> None:
    def check_fields(settings: VideoSettings) -> None:
        prompt = page.locator(f"#prompt-{settings.mode} textarea")
        expect(prompt).to_have_value(settings.prompt)
        visit.open_settings()
        expect(page.get_by_label("Seed", exact=True)).to_have_value(str(settings.seed))
        expect(page.get_by_label("number input for Steps")).to_have_value("3")
        if not page.get_by_label("number input for Switch").is_visible():
            page.get_by_role("button", name="How strongly each input is followed").click()
        for label, name in (("Text", "text"), ("Picture", "image"), ("Voice", "audio"), ("Switch", "switch")):
            expect(page.get_by_label(f"number input for {label}")).to_have_value(f"{settings.guidance[name]:g}")

    with serve(tmp_path, records) as address, chromium() as browser:
        for id, _, settings in LINKS.values():
            visit = Visit(browser.new_page(), address).watch(f"/?g={id}", waits_for="#opened")
            page = visit.page
            assert visit.video_facts("#opened-video")["duration"] == pytest.approx(0.2, abs=0.05)
            expect(page.locator("#opened")).to_contain_text(settings.prompt)
            page.locator("#remix").click()
            check_fields(settings)
            if settings.portrait is None:
                page.locator("#image-TIA img").wait_for()
                expect(page.get_by_text("The model hears 0.20 s: 5 frames")).to_be_visible()
            else:
                expect(page.get_by_text("This is who the model will see.")).to_be_visible()
            # gradio's player draws no wave of a sound under a quarter of a second, but plays it
            assert set(visit.complaints) <= {"error: Waveform load error: MediaError"}
        page.get_by_role("button", name="Settings of an earlier video").click()
        page.locator("#restore input[type=file]").set_input_files(EARLIER / "ab05ed5" / "video.mp4")
        check_fields(FILMED)
        expect(page.locator(".toast-body")).to_contain_text("the voice must be given again")
        assert visit.complaints == []


@pytest.mark.parametrize("commit", LINKS)
def test_a_record_holds_what_its_video_holds_and_its_key_deletes_it(commit: str, records: Path) -> None:
    id, key, settings = LINKS[commit]
    store = FolderStore(records)
    record = store.read(id)
    assert record.settings == settings == read_settings(store.file(id, "video.mp4"))
    assert (record.seconds, record.has_sound, record.missing) == (0.2, "A" in settings.mode, ())
    assert Record.from_json(record.to_json()) == record
    for name, entry in record.files.items():
        assert store.file(id, name).stat().st_size == entry.bytes
    store.delete(id, key)
    assert not (records / id).exists()


def test_a_video_of_a_version_that_kept_no_name_of_the_model() -> None:
    assert read_settings(EARLIER / "ab05ed5" / "video.mp4") == FILMED


def test_a_gallery_is_shown() -> None:
    face = EXAMPLES / "woman.png"
    example = Example(mode="TIA", title="She says one sound", prompt=PROMPT, image=face, audio=None, seed=3)
    store = ReadOnlyStore(EARLIER / "5864a2d" / "gallery")
    ((_, record),) = read_gallery(store, [example])
    assert (record.id, record.settings.seed, record.settings.prompt) == ("Kayyh9RDK9Mby8h2ynGnaw", 3, PROMPT)
    assert record.settings == read_settings(store.file(record.id, "video.mp4")) and record.missing == ()


@pytest.mark.parametrize(
    ("commit", "name", "given"),
    [
        ("ab05ed5", "model", {}),
        ("ab05ed5", "converted", {"height": 64, "width": 64}),
        ("5864a2d", "model", {}),
        ("5864a2d", "fast", {}),
    ],
)
def test_a_model_makes_the_video_that_it_made(commit: str, name: str, given: dict, tmp_path: Path) -> None:
    folder = unpacked(commit, "model" if name == "fast" else name, tmp_path)
    pipe = humo.load(folder, device="cpu", dtype=torch.float32, fast=name == "fast")
    video = pipe(PROMPT, image=tiny.picture(), audio=tiny.voice(0.2), num_inference_steps=2, seed=7, **given)
    pixels = json.loads((EARLIER / commit / "pixels.json").read_text())[name]
    np.testing.assert_allclose(video.frames[::2, 5::11, 5::11].astype(int), pixels, rtol=0, atol=1)
    weight = pipe.transformer.patch_embedding.weight.flatten() * 64
    assert (weight.diff() % 31 == 7).all() and weight.min() == -15  # as tests/earlier/make.py fills it


@pytest.mark.usefixtures("without_bfloat16")
def test_shots_go_on_where_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    unpacked("5864a2d", "model", tmp_path)
    soundfile.write("tone.wav", *tiny.voice(0.4))
    made = EARLIER / "5864a2d" / "shots"
    shutil.copytree(made, "shots")
    for left in Path("shots").glob("shot-002.*"):
        left.unlink()
    asked = [
        *("--preset", "model", "--prompt", PROMPT, "--audio", "tone.wav", "--frames", "5", "--height", "32"),
        *("--width", "32", "--steps", "2", "--seed", "5", "--shots", "shots", "--out", "film.mp4"),
    ]
    assert main(["generate", *asked]) == 0
    assert "Kept from the earlier run: shot 1." in capsys.readouterr().err
    again, before = (np.load(folder / "shot-002.npz")["frames"].astype(int) for folder in (Path("shots"), made))
    np.testing.assert_allclose(again, before, rtol=0, atol=1)
