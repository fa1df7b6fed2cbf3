"""Records: their JSON in every version, their links, and what sharing a video keeps of it.

Run: python -m pytest tests/space/links/test_records.py
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
import soundfile
import tiny
from PIL import Image

from humo.media import read_picture, read_sound
from humo.pipeline import HuMoPipeline
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import Result
from humo.space.links.records import (
    MIGRATIONS,
    SCHEMA,
    FileEntry,
    Record,
    check_id,
    check_name,
    hash_token,
    is_id,
    link,
    new_id,
)
from humo.space.links.settings import VideoSettings
from humo.space.links.share import MAX_SIDE, share, write_inputs
from humo.space.links.storage import FolderStore
from humo.system.digests import fingerprint_folder

VERSION_1 = {
    "v": 1,
    "id": "AAAAAAAAAAAAAAAAAAAAAA",
    "created": "2026-05-01T12:00:00Z",
    "app": "0.0.1",
    **made.SETTINGS,
    "seconds": 0.36,
    "has_sound": True,
    "files": {name: {"sha256": "0" * 64, "bytes": 5} for name in ("video.mp4", "poster.webp")},
}
"""As the first version wrote it: must be readable for ever."""


@pytest.fixture(scope="module")
def generation(mini_pipeline: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoRequest, Result]:
    return made.video(mini_pipeline, tmp_path_factory.mktemp("made") / "private-folder")


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return made.record(tmp_path)[0]


def _changed(record: Record, **changes: object) -> str:
    return json.dumps({**json.loads(record.to_json()), **changes})


def _one_sentence(error: pytest.ExceptionInfo[ValueError]) -> str:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 300
    return text


def test_json_gives_the_same_record_back(record: Record) -> None:
    assert Record.from_json(record.to_json()) == record
    assert json.loads(record.to_json())["v"] == SCHEMA == max(MIGRATIONS) + 1


def test_a_field_of_a_later_release_is_passed_over(record: Record) -> None:
    assert Record.from_json(_changed(record, likes=3)) == record


def test_version_1_is_migrated() -> None:
    old = Record.from_json(json.dumps(VERSION_1))
    assert old.settings == VideoSettings.of_plain(made.SETTINGS) and old.settings.model == "humo-mini"
    assert (old.id, old.seconds, old.has_sound, old.created) == ("A" * 22, 0.36, True, "2026-05-01T12:00:00Z")
    assert old.fingerprint == "" and old.notes == () and not old.is_deleted_by("A" * 22)
    assert Record.from_json(old.to_json()) == old, "written again as the current version"


def test_a_newer_version_is_told_as_such(record: Record) -> None:
    with pytest.raises(ValueError, match="made by a newer version of this page .*version 3.*reads up to 2") as error:
        Record.from_json(_changed(record, v=3, settings="something new"))
    _one_sentence(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": None},
        {"v": True},
        {"v": 0},
        {"v": "2"},
        {"id": "../../../../etc/passwd"},
        {"id": 5},
        {"created": "yesterday"},
        {"created": None},
        {"app": None},
        {"fingerprint": "no hex"},
        {"fingerprint": None},
        {"settings": None},
        {"settings": {**made.SETTINGS, "seed": -1}},
        {"settings": {**made.SETTINGS, "num_frames": 10}},
        {"settings": {**made.SETTINGS, "num_images": 0}},
        {"settings": {**made.SETTINGS, "guidance": {"rule": "unheard of"}}},
        {"seconds": None},
        {"seconds": float("nan")},
        {"seconds": 1e9},
        {"seconds": 10**4_000},
        {"has_sound": "yes"},
        {"notes": None},
        {"notes": [5]},
        {"notes": ["x" * 501]},
        {"notes": ["x"] * 21},
        {"files": None},
        {"files": []},
        {"files": {}},
        {"files": {"video.mp4": {"sha256": "0" * 64, "bytes": 5}}},
        {"files": {"../video.mp4": {"sha256": "0" * 64, "bytes": 5}}},
        {"files": {"video.mp4": {"sha256": "0" * 64}, "poster.webp": {"sha256": "0" * 64, "bytes": 5}}},
        {"files": {name: {"sha256": "zz", "bytes": 5} for name in ("video.mp4", "poster.webp")}},
        {"files": {name: {"sha256": "0" * 64, "bytes": -5} for name in ("video.mp4", "poster.webp")}},
        {"delete_sha256": "short"},
        {"delete_sha256": 5},
    ],
)
def test_damaged_records_are_one_sentence(record: Record, changes: dict) -> None:
    with pytest.raises(ValueError, match="record is damaged") as error:
        Record.from_json(_changed(record, **changes))
    _one_sentence(error)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", '"text"', "[" * 100_000, '{"v": 2}', "9" * 5_000, "\0"])
def test_what_is_no_record_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="record is damaged") as error:
        Record.from_json(text)
    _one_sentence(error)


def test_every_missing_field_is_damage(record: Record) -> None:
    plain = json.loads(record.to_json())
    for name in plain:
        with pytest.raises(ValueError, match="record is damaged"):
            Record.from_json(json.dumps({key: value for key, value in plain.items() if key != name}))


def test_ids_are_random_and_names_lead_nowhere() -> None:
    assert len({new_id() for _ in range(100)}) == 100 and all(is_id(new_id()) for _ in range(100))
    bad_ids = ["", "A" * 21, "A" * 23, "A" * 21 + "\n", "A" * 21 + "/", "A" * 21 + ".", "../" + "A" * 19, "ä" * 22]
    for bad in [*bad_ids, None]:
        with pytest.raises(ValueError, match="not a link of ours"):
            check_id(bad)
    bad_names = ["record.json", "../video.mp4", "inputs/../record.json", "inputs//voice.flac", "/etc/passwd"]
    for bad in [*bad_names, "inputs/voice.exe", "inputs/a b.webp", "video.mp4\n", "", None]:
        with pytest.raises(ValueError, match="no such file"):
            check_name(bad)
    for good in ("video.mp4", "poster.webp", "inputs/picture-1.webp", "inputs/voice.flac"):
        assert check_name(good) == good


def test_links_are_the_spaces_or_the_pages_own() -> None:
    id = "A" * 22
    assert link(id, "http://127.0.0.1:7860/") == f"http://127.0.0.1:7860/?g={id}"
    assert link(id, "https://example.org/humo/?x=1#y") == f"https://example.org/humo/?g={id}"
    assert link(id, "http://[::1]:7860") == f"http://[::1]:7860/?g={id}"
    assert (
        link(id, "https://x.hf.space", "anna/humo-compact") == f"https://huggingface.co/spaces/anna/humo-compact?g={id}"
    )
    for origin in ("javascript:alert(1)", "ftp://host", "", "http://", 'http://a"b', "http://user@host", "http://[::1"):
        with pytest.raises(ValueError, match="its own address"):
            link(id, origin)
    with pytest.raises(ValueError, match="owner/name"):
        link(id, "http://host", "anna/humo?x=")
    with pytest.raises(ValueError, match="not a link"):
        link("A", "http://host")


def test_only_its_token_deletes_a_record(record: Record) -> None:
    assert record.is_deleted_by(made.TOKEN)
    for wrong in ("u" * 22, made.TOKEN + "t", made.TOKEN[:-1], "", None, 5, record.delete_sha256, "\ud800" * 22):
        assert not record.is_deleted_by(wrong)
    forever = replace(record, delete_sha256=None)
    assert not any(forever.is_deleted_by(token) for token in (made.TOKEN, "", None))


def test_a_record_says_which_inputs_are_missing(record: Record) -> None:
    assert record.missing == ("picture",) and record.voice == "inputs/voice.flac" and record.pictures == ()
    assert record.missing_note == "The picture was not kept with this link: give your own to make it again."
    kept = {name: entry for name, entry in record.files.items() if not name.startswith("inputs")}
    bare = replace(record, files=kept)
    assert (
        bare.missing_note == "The picture and the voice were not kept with this link: give your own to make it again."
    )
    whole = replace(record, files={**record.files, "inputs/picture-1.webp": FileEntry("0" * 64, 3)})
    assert whole.missing == () and whole.missing_note == "" and whole.pictures == ("inputs/picture-1.webp",)


def test_sharing_keeps_the_video_and_nothing_private(
    generation: tuple[VideoRequest, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, result = generation
    monkeypatch.setenv("USER", "annamiller")
    store = FolderStore(tmp_path / "links")
    record, token = share(store, result, request, "0123456789")
    assert store.read(record.id) == record and is_id(token) and record.is_deleted_by(token)
    assert store.file(record.id, "video.mp4").read_bytes() == result.path.read_bytes()
    with Image.open(store.file(record.id, "poster.webp")) as poster:
        assert poster.format == "WEBP" and poster.size == (512, 512)
    assert set(record.files) == {"video.mp4", "poster.webp"} and record.missing == ("picture", "voice")
    assert (record.settings.mode, record.settings.prompt, record.settings.seed) == ("TIA", made.PROMPT, 7)
    assert record.settings.guidance == made.SETTINGS["guidance"] and record.settings.num_frames == result.num_frames
    assert record.has_sound and record.seconds == result.seconds and record.notes == result.notes
    on_disk = b"".join(path.read_bytes() for path in sorted((tmp_path / "links").rglob("*")) if path.is_file())
    for private in (token, "private-folder", "anna-miller", "call from anna", str(tmp_path), "/tmp", "annamiller"):
        assert private.encode() not in on_disk
    assert hash_token(token).encode() in on_disk


def test_inputs_are_kept_only_when_asked_and_without_their_names(
    generation: tuple[VideoRequest, Result], mini_pipeline: HuMoPipeline, tmp_path: Path
) -> None:
    request, result = generation
    store = FolderStore(tmp_path)
    record, _ = share(store, result, request, "", keep_inputs=True)
    assert record.pictures == ("inputs/picture-1.webp",) and record.voice == "inputs/voice.flac" and not record.missing
    on_disk = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert b"anna" not in on_disk
    again = VideoRequest(
        prompt=record.settings.prompt,
        images=tuple(store.file(record.id, name) for name in record.pictures),
        audio=store.file(record.id, record.voice),
        num_inference_steps=record.settings.num_inference_steps,
        guidance=record.settings.guidance,
        seed=record.settings.seed,
    )
    np.testing.assert_array_equal(again.run(mini_pipeline).frames, request.run(mini_pipeline).frames)


def test_kept_pictures_have_no_metadata_and_a_bounded_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Anna at home", 6  # description; turned by 90 degrees
    Image.effect_noise((1_600, 800), 60).convert("RGB").save(tmp_path / "photo.jpg", exif=exif, comment=b"Anna")
    tiny.picture().save(tmp_path / "drawing.png")
    request = VideoRequest(prompt="x", images=(tmp_path / "photo.jpg", tmp_path / "drawing.png"))
    files = write_inputs(request, 1.0, tmp_path)
    photo = files["inputs/picture-1.webp"]
    with Image.open(photo) as kept:
        assert kept.size == (MAX_SIDE // 2, MAX_SIDE) and not kept.getexif(), "upright"
    assert b"Anna" not in photo.read_bytes()
    drawing = read_picture(files["inputs/picture-2.webp"])
    np.testing.assert_array_equal(np.asarray(drawing), np.asarray(tiny.picture().convert("RGB")))


def test_a_kept_voice_asks_for_the_same_number_of_frames(tmp_path: Path) -> None:
    samples, rate = tiny.voice(2.0, 44_100)
    for given, seconds in ((tmp_path / "a.wav", 0.36), (tmp_path / "b.wav", 1.96)):
        soundfile.write(given, samples, rate, subtype="PCM_16", format="WAV")
        folder = tmp_path / given.stem
        folder.mkdir()
        kept = read_sound(write_inputs(VideoRequest(prompt="x", audio=given), seconds, folder)["inputs/voice.flac"])
        frames = len(kept.waveform) // 640
        assert 1 + (frames - 1) // 4 * 4 == round(seconds * 25) and kept.rate == 44_100
        original = read_sound(given).original[: len(kept.original)]
        np.testing.assert_allclose(kept.original, original, atol=2e-7)


def test_an_already_read_sound_is_kept_too(tmp_path: Path) -> None:
    sound = read_sound(tiny.voice(0.4))
    kept = write_inputs(VideoRequest(prompt="x", audio=sound), 0.36, tmp_path)["inputs/voice.flac"]
    np.testing.assert_allclose(read_sound(kept).original, sound.original, atol=2e-7)


def test_sharing_refuses_what_does_not_belong_together(generation: tuple[VideoRequest, Result], tmp_path: Path) -> None:
    request, result = generation
    store = FolderStore(tmp_path / "links")
    others = [replace(request, prompt="a man nods"), replace(request, images=()), replace(request, audio=None)]
    for other in others:
        with pytest.raises(ValueError, match="not those of this video"):
            share(store, result, other, "", keep_inputs=True)
    with pytest.raises(ValueError, match="not there any more") as error:
        share(store, replace(result, path=tmp_path / "gone.mp4"), request, "")
    assert str(tmp_path) not in _one_sentence(error)
    lost = replace(request, images=(tmp_path / "lost.png",))
    with pytest.raises(ValueError, match="lost.png does not exist"):
        share(store, result, lost, "", keep_inputs=True)
    (tmp_path / "cut.mp4").write_bytes(result.path.read_bytes()[:9_000])
    with pytest.raises(ValueError, match="cannot be read any more|damaged"):
        share(store, replace(result, path=tmp_path / "cut.mp4"), request, "")
    assert [path.name for path in store.folder.iterdir() if is_id(path.name)] == []


def test_fingerprints_tell_models_apart(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "a" / "vae").mkdir(parents=True)
    (tmp_path / "a" / "vae" / "x.safetensors").write_bytes(weights)
    first = fingerprint_folder(tmp_path / "a")
    assert len(first) == 10 and fingerprint_folder(tmp_path / "a") == first
    for place in (0, 150_000, 299_999):
        other = bytearray(weights)
        other[place] ^= 1
        (tmp_path / "a" / "vae" / "x.safetensors").write_bytes(other)
        assert fingerprint_folder(tmp_path / "a") != first
    (tmp_path / "a" / "vae" / "x.safetensors").write_bytes(b"small")
    assert fingerprint_folder(tmp_path / "a") != first
    with pytest.raises(ValueError, match="empty holds no weights"):
        (tmp_path / "empty").mkdir()
        fingerprint_folder(tmp_path / "empty")


def test_the_settings_name_the_model_and_never_its_folder(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    folder = tmp_path / "secret-place" / "humo-tiny"
    mini_pipeline.save_pretrained(folder)
    loaded = HuMoPipeline.from_pretrained(str(folder))
    request, result = made.video(loaded, tmp_path / "made", mode="TI")
    record, _ = share(FolderStore(tmp_path / "links"), result, request, "")
    assert record.settings.model == "humo-tiny"
    assert b"secret-place" not in result.path.read_bytes()
