"""A dropped video gives its settings back, and whatever else is dropped ends in one sentence.

Run: python -m pytest tests/space/links/test_settings.py
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict
from pathlib import Path

import made
import numpy as np
import pytest
import tiny

from humo.media import write_video
from humo.pipeline import HuMoPipeline
from humo.space.links.mp4_metadata import MAX_BOXES, MAX_VALUE, read_texts
from humo.space.links.settings import KnownTold, VideoSettings, check_guidance, read_settings


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


FTYP = _box(b"ftyp", b"isom\0\0\2\0isomiso2")


def _mp4(description: bytes, kind: bytes = b"desc", type_: int = 1) -> bytes:
    """An mp4 that is nothing but its description."""
    data = _box(b"data", struct.pack(">II", type_, 0) + description)
    ilst = _box(b"ilst", _box(kind, data))
    meta = _box(b"meta", b"\0\0\0\0" + _box(b"hdlr", b"\0" * 25) + ilst)
    return FTYP + _box(b"moov", _box(b"mvhd", b"\0" * 100) + _box(b"udta", meta)) + _box(b"mdat", b"\0" * 50)


def _read(tmp_path: Path, content: bytes) -> VideoSettings:
    (tmp_path / "given.mp4").write_bytes(content)
    return read_settings(tmp_path / "given.mp4")


def _refused(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as error:
        _read(tmp_path, content)
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300
    assert "given.mp4" in text and str(tmp_path) not in text


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], "known must be an object"),
        ({"overlap": -1}, "known overlap is -1: it must be a whole number from 0"),
        ({"overlap": True}, "known overlap is True"),
        ({"overlap": 9}, "known overlap is 9, but num_frames 9 must be more"),
        ({"first_frame": "yes"}, "known first_frame is 'yes': it must be true or false"),
    ],
)
def test_what_was_known_is_read_as_carefully(tmp_path: Path, known: object, expected: str) -> None:
    plain = {"mode": "T", "prompt": "a", "negative_prompt": "", "seed": 1, "num_inference_steps": 2, "num_frames": 9}
    plain |= {"num_images": 0, "height": 64, "width": 64, "guidance": {"rule": "constant"}}
    assert _read(tmp_path, _mp4(json.dumps(plain).encode())).known is None
    used = {"overlap": 5, "first_frame": False, "resampling": 0, "start_sigma": 0.9}
    read = _read(tmp_path, _mp4(json.dumps(plain | {"known": used}).encode()))
    assert read.known == KnownTold(overlap=5) and VideoSettings.of_plain(asdict(read)) == read
    _refused(tmp_path, _mp4(json.dumps(plain | {"known": known}).encode()), expected)


@pytest.mark.parametrize("mode", ["T", "TI", "TA", "TIA"])
def test_a_video_gives_back_what_it_was_made_with(mini_pipeline: HuMoPipeline, tmp_path: Path, mode: str) -> None:
    request, result = made.video(mini_pipeline, tmp_path / "made", mode)
    settings = read_settings(result.path)
    assert (settings.mode, settings.prompt, settings.seed) == (mode, request.prompt, request.seed)
    assert settings.guidance == request.guidance and settings.num_frames == result.num_frames
    assert (settings.height, settings.width, settings.num_inference_steps) == (64, 64, 2)
    assert settings.num_images == len(request.images)


def test_long_and_odd_texts_survive_the_file(tmp_path: Path) -> None:
    words = ("say “ah”; 'no' = 100 % \\ \n\t\0 <b> 日本語 🙂 " * 60)[:2_000]
    given = {**made.SETTINGS, "prompt": words, "negative_prompt": words, "later": {"unknown": 1}}
    path = write_video(tmp_path / "a.mp4", np.zeros((5, 64, 64, 3), np.uint8), audio=tiny.voice(0.2), metadata=given)
    settings = read_settings(path)
    assert settings.prompt == settings.negative_prompt == words
    assert read_texts(path)["comment"].startswith("AI-generated")


def test_videos_without_a_model_name_are_read(tmp_path: Path) -> None:
    plain = {name: value for name, value in made.SETTINGS.items() if name != "model"}
    assert _read(tmp_path, _mp4(json.dumps(plain).encode())).model == ""
    assert _read(tmp_path, _mp4(json.dumps(made.SETTINGS).encode())) == VideoSettings.of_plain(made.SETTINGS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no mp4 by its content"),
        (b"hello", "no mp4 by its content"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "no mp4 by its content"),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 50, "no mp4 by its content"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 50, "no mp4 by its content"),
        (FTYP, "carries no settings"),
        (FTYP + _box(b"moov", b""), "carries no settings"),
        (FTYP + _box(b"moov", _box(b"udta", b"")), "carries no settings"),
        (FTYP + _box(b"moov", _box(b"udta", _box(b"meta", b""))), "carries no settings"),
        (FTYP + _box(b"moov", _box(b"udta", _box(b"meta", b"\0\0\0\0" + _box(b"ilst", b"")))), "carries no settings"),
        (_mp4(b"{}", kind=b"\xa9nam"), "carries no settings"),
        (_mp4(b"{}", type_=13), "carries no settings"),
        (_mp4(b" " * (MAX_VALUE + 1)), "carries no settings"),
        (_mp4(b"\xff\xfe"), "damaged or cut off"),
        (_mp4(b""), "no settings of ours"),
        (_mp4(b"Filmed by Anna"), "no settings of ours"),
        (_mp4(b"[" * 100_000), "no settings of ours"),
        (_mp4(b"9" * 100_000), "no settings of ours"),
        (_mp4(b"null"), "no JSON object"),
        (_mp4(b"[1]"), "no JSON object"),
        (_mp4(b"{}"), "the setting mode is missing"),
        (_mp4(json.dumps(made.SETTINGS).encode())[:-220], "damaged or cut off"),
        (FTYP + struct.pack(">I", 4) + b"moov", "damaged or cut off"),
        (FTYP + struct.pack(">I", 2**31) + b"moov", "damaged or cut off"),
        (FTYP + struct.pack(">I4sQ", 1, b"moov", 2**63), "damaged or cut off"),
        (FTYP + struct.pack(">I4sQ", 1, b"free", 8), "damaged or cut off"),
        (FTYP + struct.pack(">I4s", 1, b"moov"), "damaged or cut off"),
        (FTYP + _box(b"free", b"") * (MAX_BOXES + 1), "damaged or cut off"),
        (FTYP + _box(b"moov", struct.pack(">I", 200) + b"udta" + b"\0" * 40), "damaged or cut off"),
        (FTYP + struct.pack(">I", 0) + b"mdat" + b"\0" * 90, "carries no settings"),
    ],
)
def test_hostile_files_are_one_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    _refused(tmp_path, content, expected)


def test_every_cut_of_a_real_video_is_one_sentence_or_the_settings(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", np.zeros((5, 64, 64, 3), np.uint8), metadata=made.SETTINGS)
    content, whole = path.read_bytes(), read_settings(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        try:
            assert read_settings(path) == whole, "the index comes first, so the end may be missing"
        except ValueError as error:
            assert str(error).endswith(".") and str(tmp_path) not in str(error)


def test_flipped_bytes_never_give_anything_but_a_sentence(tmp_path: Path) -> None:
    content, random = _mp4(json.dumps(made.SETTINGS).encode()), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        for place in random.integers(0, len(content), 8):
            changed[place] = random.integers(0, 256)
        try:
            assert isinstance(_read(tmp_path, bytes(changed)), VideoSettings)
        except ValueError as error:
            refused += 1
            assert str(error).endswith(".") and "\n" not in str(error) and len(str(error)) < 400
    assert refused > 100


def test_a_dub_says_that_it_is_one(tmp_path: Path) -> None:
    plain = {**made.SETTINGS, "mode": "dub", "clip": [10, 64, 64]}
    write_video(tmp_path / "dub.mp4", np.zeros((5, 64, 64, 3), np.uint8), metadata=plain)
    with pytest.raises(ValueError, match=r"^video dub\.mp4 is a clip that was dubbed, .* choose a video that was gen"):
        read_settings(tmp_path / "dub.mp4")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.mp4"
    path.write_bytes(FTYP + struct.pack(">I4sQ", 1, b"mdat", 5_000_000_000))
    os.truncate(path, len(FTYP) + 5_000_000_000)  # a hole: takes no room on the disk
    with open(path, "ab") as file:
        file.write(_mp4(json.dumps(made.SETTINGS).encode())[len(FTYP) :])
    assert read_settings(path).prompt == made.PROMPT


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(ValueError, match=f"video {path.name} is not there any more") as error:
            read_settings(path)
        assert str(tmp_path.parent) not in str(error.value)


SCALES = {"rule": "paper", "text": 2.5, "image": 2.0, "audio": 3.0}
HUGE = 10**4_000


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mode": "IA"}, "mode is 'IA': it must be one of T, TI, TA, TIA"),
        ({"mode": None}, "mode is None"),
        ({"mode": ["T"]}, r"mode is \['T'\]"),
        ({"mode": "x" * 5_000}, r"mode is 'xxx.*\.\.\.: it must"),
        ({"mode": "TA"}, "mode TA and 1 pictures do not go together"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"prompt": 5}, "prompt is 5: it must be text"),
        ({"prompt": "a" * 2_001}, "prompt has 2,001 characters: at most 2,000"),
        ({"prompt": "\ud800"}, "half a letter"),
        ({"negative_prompt": None}, "negative_prompt is None"),
        ({"model": "models/mine"}, "model is a path"),
        ({"seed": -1}, "seed is -1: it must be a whole number from 0"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"seed": True}, "seed is True"),
        ({"seed": "5"}, "seed is '5'"),
        ({"seed": {"a": 1}}, "seed is {'a': 1}"),
        ({"seed": HUGE}, "seed is 1000.*"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": 10**9}, "num_inference_steps is 1000000000"),
        ({"num_frames": 8}, "num_frames must be 4k"),
        ({"num_frames": 40_001}, "num_frames is 40001"),
        ({"num_frames": None}, "num_frames is None"),
        ({"height": 8}, "height is 8"),
        ({"width": 100_000}, "width is 100000"),
        ({"num_images": 17}, "num_images is 17"),
        ({"guidance": None}, "guidance is no JSON object"),
        ({"guidance": {}}, "guidance rule is None: it must be text"),
        ({"guidance": {"rule": "magic"}}, "guidance rule 'magic' is unknown: use one of published_17b"),
        ({"guidance": {"rule": "custom", "text": "<function>"}}, "guidance rule 'custom' is unknown"),
        ({"guidance": {"rule": ["paper"]}}, r"guidance rule is \['paper'\]: it must be text"),
        ({"guidance": {"rule": "x" * 9_000}}, "guidance rule has 9,000 characters"),
        ({"guidance": {"rule": "paper", "colour": 5}}, "guidance rule paper has no 'colour'"),
        ({"guidance": {"rule": "paper", "x" * 9_000: 5}}, "a name in guidance has 9,000 characters"),
        ({"guidance": {"rule": "paper", "text": "5"}}, "guidance text is '5': it must be a number"),
        ({"guidance": {"rule": "paper", "text": float("nan")}}, "guidance text is nan"),
        ({"guidance": {"rule": "paper", "text": float("inf")}}, "guidance text is inf"),
        ({"guidance": {"rule": "paper", "text": 1e9}}, "guidance text is 1000000000.0"),
        ({"guidance": {"rule": "paper", "text": HUGE}}, "guidance text is 1000.*"),
        ({"guidance": {"rule": "paper", "text": True}}, "guidance text is True"),
        ({"guidance": {"rule": "paper", "text": [1, 2, 3]}}, r"guidance text is \[1, 2, 3\]"),
        ({"guidance": {"rule": "paper", "switch": 2_000}}, "guidance switch is 2000"),
        ({"guidance": {"rule": "constant", "until": -1}}, "guidance until is -1"),
        ({"guidance": {"rule": "paper", "early": [1, 2]}}, "three scales"),
        ({"guidance": {"rule": "paper", "early": 5}}, "three scales"),
        ({"guidance": {"rule": "paper", "early": [1, 2, "x"]}}, "guidance early is 'x'"),
        ({"guidance": {"rule": "paper", "text": {"ramp": "linear"}}}, "a ramp without its ends"),
        ({"guidance": {"rule": "paper", "text": {"ramp": "spiral", "early": 1}}}, "ramp 'spiral' is unknown"),
        ({"guidance": {"rule": "paper", "text": {"ramp": [], "early": 1, "late": 2}}}, r"text ramp is \[\]"),
        ({"guidance": {"rule": "paper", "text": {"ramp": "linear", "early": {}, "late": 2}}}, "text early is {}"),
        ({"guidance": {"rule": "paper", "text": {}}}, "guidance ramp None is unknown"),
    ],
)
def test_settings_out_of_range_are_one_sentence(tmp_path: Path, changes: dict, expected: str) -> None:
    content = json.dumps({**made.SETTINGS, **changes}).encode()
    _refused(tmp_path, _mp4(content), f"settings that cannot be used: .*{expected}")


def test_every_rule_and_ramp_of_the_pipeline_is_let_through() -> None:
    check_guidance(SCALES)
    check_guidance({"rule": "published_17b", "text": 5, "audio": 5.5, "switch": 980})
    check_guidance({"rule": "constant", "text": {"ramp": "linear", "early": 6.0, "late": 3.0}})
    step = {"ramp": "step", "early": 6.0, "late": 3.0, "switch": 900}
    check_guidance({**SCALES, "early": [step, {"ramp": "cosine", "early": 1, "late": 2}, 1.0]})
    check_guidance({**SCALES, "early": None})
