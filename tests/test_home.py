"""Where the records of visitors go."""

from __future__ import annotations

from pathlib import Path

from humo.space.home import find_home


def test_the_folder_is_the_chosen_one_the_bucket_or_the_users(tmp_path: Path) -> None:
    bucket = tmp_path / "data"
    in_space = {"SPACE_ID": "anna/humo", "HOME": str(tmp_path / "home")}
    missing = find_home(in_space, bucket)
    assert missing.folder == tmp_path / "home/.local/share/humo-compact/generations" and not missing.is_lasting
    bucket.mkdir()
    mounted = find_home(in_space, bucket)
    assert mounted.folder == bucket / "generations" and mounted.is_lasting
    chosen = find_home({**in_space, "HUMO_RECORDS": str(tmp_path / "mine")}, bucket)
    assert chosen.folder == tmp_path / "mine" and chosen.is_lasting
    at_home = find_home({"HOME": str(tmp_path / "home"), "XDG_DATA_HOME": "relative"}, bucket)
    assert at_home.folder == missing.folder and at_home.is_lasting
    assert find_home({"XDG_DATA_HOME": "/xdg"}, bucket).folder == Path("/xdg/humo-compact/generations")
