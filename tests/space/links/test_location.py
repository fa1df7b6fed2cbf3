"""Where the records of visitors go."""

from __future__ import annotations

from pathlib import Path

import pytest

from humo.space.links.location import find_record_folder


def test_the_folder_is_the_chosen_one_the_bucket_or_the_users(tmp_path: Path) -> None:
    bucket = tmp_path / "data"
    in_space = {"SPACE_ID": "anna/humo", "HOME": str(tmp_path / "home")}
    missing = find_record_folder(in_space, bucket)
    assert missing.folder == tmp_path / "home/.local/share/humo-compact/generations" and not missing.is_lasting
    bucket.mkdir()
    mounted = find_record_folder(in_space, bucket)
    assert mounted.folder == bucket / "generations" and mounted.is_lasting
    chosen = find_record_folder({**in_space, "HUMO_RECORDS": str(tmp_path / "mine")}, bucket)
    assert chosen.folder == tmp_path / "mine" and chosen.is_lasting
    at_home = find_record_folder({"HOME": str(tmp_path / "home"), "XDG_DATA_HOME": "relative"}, bucket)
    assert at_home.folder == missing.folder and at_home.is_lasting
    chosen = find_record_folder({"XDG_DATA_HOME": str(tmp_path / "xdg")}, bucket)
    assert chosen.folder == tmp_path / "xdg" / "humo-compact" / "generations" and chosen.is_lasting


def test_without_a_home_that_can_be_written_the_links_do_not_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").touch()  # below a file nobody can write, not even root
    home = find_record_folder({"HOME": str(tmp_path / "file")}, tmp_path / "data")
    assert home.folder == tmp_path / "cache" / "humo-compact" / "generations" and not home.is_lasting
