"""A page at work for long: its disk stays as small as it was told to, and it leaves nothing behind.

Run: python -m pytest tests/abuse/test_disk.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import serve
from pictures import picture, written
from raw_api import call, upload

RUNS = 100
QUICK = {"prompt": "a man nods", "steps": 1, "seconds": 0.2}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_disk_stays_bounded_over_a_hundred_runs_and_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(temporary))
    monkeypatch.setenv("HUMO_DISK_MIB", "1")
    for name, runs in (("first", RUNS), ("second", 1)):
        (tmp_path / name).mkdir()
        with serve(tmp_path / name) as address:
            (folder,) = temporary.iterdir()
            own, made = _bytes(folder), 0
            for number in range(runs):
                asked: dict[str, object] = {**QUICK, "seed": number}
                if number % 10 == 0:
                    asked["image"] = upload(address, "face.png", written(picture(number + 90)))
                answer = call(address, "generate", asked)
                video, told = answer.data[0]
                assert told["seed"] == number and Path(video["path"]).is_file(), "the last one stays"
                made += Path(video["path"]).stat().st_size
                assert _bytes(folder) - own < (1 << 20) + (200 << 10)
            assert runs < RUNS or 2 * made > 3 << 20, "more was made than is kept"
        assert [*temporary.iterdir()] == []
