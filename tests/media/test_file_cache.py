"""humo.media.file_cache: a sound is read once, as long as its file stays the same, and little memory is taken.

Run: python -m pytest tests/media/test_file_cache.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humo.media import read_sound
from humo.media.file_cache import FileCache, file_stamp

TONE = 0.3 * np.sin(np.arange(8_000) / 5).astype(np.float32)


def _write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path


def test_a_sound_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = _write(tmp_path / "a.wav", TONE), _write(tmp_path / "b.wav", TONE)
    sound = read_sound(first)
    sound.original[:] = 0
    sound.waveform[:] = 0
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    again = read_sound(str(first))
    np.testing.assert_array_equal(again.original[:, 0], TONE)  # what one reader does to it is no other's
    np.testing.assert_array_equal(again.waveform, TONE)
    with pytest.raises(FileNotFoundError):
        read_sound(other)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.wav", TONE)
    before = path.stat()
    read_sound(path)
    time.sleep(0.02)  # for the disk's clock
    _write(path, TONE / 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # in place, of the same size, and said to be as old
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    np.testing.assert_array_equal(read_sound(path).waveform, TONE / 2)


def test_little_is_kept_and_nothing_of_what_is_gone(tmp_path: Path) -> None:
    marks = []
    for name in "abcd":
        (tmp_path / name).write_text(name)
        marks.append(file_stamp(tmp_path / name))
    kept: FileCache[str] = FileCache(most=2, most_bytes=100)
    assert not kept.keep(marks[0], "a", 101) and kept.find(marks[0]) is None
    assert kept.keep(marks[0], "a", 10) and kept.keep(marks[1], "b", 10)
    assert kept.find(marks[0]) == "a"  # which makes b the oldest
    kept.keep(marks[2], "c", 10)
    assert [kept.find(mark) for mark in marks] == ["a", None, "c", None]
    kept.keep(marks[3], "d", 95)
    assert [kept.find(mark) for mark in marks] == [None, None, None, "d"] and kept.num_bytes == 95
    (tmp_path / "d").unlink()
    kept.keep(marks[1], "b", 1)
    assert [kept.find(mark) for mark in marks] == [None, "b", None, None]
