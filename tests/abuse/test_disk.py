"""A page at work for long: its disk stays as small as it was told to, and it leaves nothing behind.

Run: python -m pytest tests/abuse/test_disk.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pages import serve
from pictures import written
from raw_api import call, upload

from humo.portrait import Portrait, draw_portrait

pytestmark = pytest.mark.slow

RUNS, AT_ONCE = 100, 4
MIB = 1 << 20
QUICK = {"prompt": "a man nods", "steps": 1, "seconds": 0.2}


def test_the_disk_stays_bounded_over_a_hundred_runs_and_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(temporary))
    monkeypatch.setenv("HUMO_DISK_MIB", "1")
    with _served(tmp_path / "first") as address, ThreadPoolExecutor(AT_ONCE) as visitors:
        (folder,) = temporary.iterdir()
        own = _bytes(folder)

        def run(seed: int) -> tuple[int, int]:
            """Bytes of a new video, and of all that the page has added."""
            asked: dict[str, object] = {**QUICK, "seed": seed}
            if seed % 10 == 0:
                asked["image"] = upload(address, "face.png", written(draw_portrait(Portrait(), 90 + seed)))
            video, told = call(address, "generate", asked).data[0]
            assert told["seed"] == seed
            return Path(video["path"]).stat().st_size, _bytes(folder) - own

        sizes = [*visitors.map(run, range(RUNS))]
    assert max(kept for _, kept in sizes) < MIB + 2 * AT_ONCE * max(made for made, _ in sizes)
    assert sum(made for made, _ in sizes) > 1.5 * MIB, "far more was made than is kept, for the page copies each"
    assert [*temporary.iterdir()] == []
    with _served(tmp_path / "second"):
        (folder,) = temporary.iterdir()
        assert abs(_bytes(folder) - own) < 100_000, "as at the first start"


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with serve(folder) as address:
        yield address


def _bytes(folder: Path) -> int:
    """Of all files that are there, while some may be about to go."""
    found = 0
    for parent, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(FileNotFoundError):
                found += os.stat(os.path.join(parent, name)).st_size
    return found
