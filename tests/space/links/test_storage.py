"""The store of records: whole or not there, bounded, shared by processes, and trusting nothing that lies in it.

Run: python -m pytest tests/space/links/test_storage.py
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made
import pytest

from humo.space.links.record_files import write_record
from humo.space.links.records import FileEntry, Record, is_id, new_id
from humo.space.links.storage import DAY, FolderStore, ReadOnlyStore, Retention, Stores, take

WORK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import made
from humo.space.links.storage import FolderStore, Retention
store = FolderStore(Path(sys.argv[2]), Retention(max_records=8))
for number in range(20):
    record, files = made.record(Path(sys.argv[3]), size=20_000)
    store.write(record, files)
    try:
        assert store.read(record.id) == record
        print(record.id, flush=True)
    except ValueError as error:  # the other process may have written eight since
        assert "There is no video" in str(error), error
    if number % 5 == 0:
        store.prune()
"""
"""Writes and prunes beside another process."""

KILL = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import made
from humo.space.links import record_files
from humo.space.links.storage import FolderStore
store = FolderStore(Path(sys.argv[2]))
record, files = made.record(Path(sys.argv[3]))
print(record.id, flush=True)
kind, end, times = sys.argv[4], sys.argv[5].replace("ID", record.id), int(sys.argv[6])
def look(event, arguments):
    global times
    if event == kind and str(arguments[0]).startswith(sys.argv[2]) and str(arguments[0]).endswith(end):
        times -= 1
        if times == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
store.write(record, files)
"""
"""Dies just before it does something to the store's folder for the n-th time."""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "links")


def _ids(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if is_id(path.name))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _kept(store: FolderStore, tmp_path: Path, days_ago: float = 0, **given: object) -> Record:
    """A record that was written some days ago."""
    record, files = made.record(tmp_path / "work", **given)
    store.write(record, files)
    then = time.time() - days_ago * DAY
    os.utime(store.folder / record.id / "record.json", (then, then))
    return record


def test_what_is_written_is_read(store: FolderStore, tmp_path: Path) -> None:
    record, files = made.record(tmp_path)
    store.write(record, files)
    assert store.has(record.id) and store.read(record.id) == record
    for name, path in files.items():
        assert store.file(record.id, name).read_bytes() == path.read_bytes()
    assert FolderStore(store.folder).read(record.id) == record, "after a restart"
    names = {path.relative_to(store.folder / record.id).as_posix() for path in (store.folder / record.id).rglob("*")}
    assert names == {"record.json", "video.mp4", "poster.webp", "inputs", "inputs/voice.flac"}
    with pytest.raises(ValueError, match="it was not kept"):
        store.file(record.id, "inputs/picture-1.webp")


def test_unknown_and_impossible_ids_are_one_sentence(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "links" / "secret").mkdir()
    with pytest.raises(ValueError, match="There is no video behind this link"):
        store.read(new_id())
    ids = ("", "..", "../" + "A" * 19, "/etc/passwd", ".lock", ".tmp-" + "A" * 22, "secret", "A" * 21 + "\0", None)
    for bad in ids:
        for ask in (store.read, store.has, lambda id: store.file(id, "video.mp4"), lambda id: store.delete(id, "x")):
            with pytest.raises(ValueError, match="not a link of ours"):
                ask(bad)
    record = _kept(store, tmp_path)
    names = ("record.json", f"../{record.id}/video.mp4", "inputs/../record.json", "/etc/passwd", "inputs", None)
    for bad in names:
        with pytest.raises(ValueError, match="no such file"):
            store.file(record.id, bad)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    ("no record.json", lambda folder: (folder / "record.json").unlink()),
    ("no video", lambda folder: (folder / "video.mp4").unlink()),
    ("no inputs", lambda folder: shutil.rmtree(folder / "inputs")),
    ("nothing", lambda folder: [shutil.rmtree(folder), folder.mkdir()]),
    ("cut video", lambda folder: _cut(folder / "video.mp4")),
    ("cut record.json", lambda folder: _cut(folder / "record.json")),
    ("empty record.json", lambda folder: (folder / "record.json").write_text("")),
    ("no UTF-8", lambda folder: (folder / "record.json").write_bytes(b"\xff\xfe{}")),
    ("huge record.json", lambda folder: (folder / "record.json").write_text(" " * 300_000)),
    ("a folder as video", lambda folder: [(folder / "video.mp4").unlink(), (folder / "video.mp4").mkdir()]),
    ("a pipe as video", lambda folder: [(folder / "video.mp4").unlink(), os.mkfifo(folder / "video.mp4")]),
    ("a pipe as record", lambda folder: [(folder / "record.json").unlink(), os.mkfifo(folder / "record.json")]),
    ("linked video", lambda folder: _link(folder / "video.mp4")),
    ("linked record.json", lambda folder: _link(folder / "record.json")),
    ("linked inputs", lambda folder: _link(folder / "inputs")),
    ("linked folder", _link),
]


@pytest.mark.parametrize(("what", "damage"), DAMAGE, ids=[what for what, _ in DAMAGE])
def test_damaged_records_are_one_sentence(
    store: FolderStore, tmp_path: Path, what: str, damage: Callable[[Path], object]
) -> None:
    record = _kept(store, tmp_path)
    damage(store.folder / record.id)
    with pytest.raises(ValueError, match="damaged") as error:
        store.read(record.id)
    assert str(tmp_path) not in str(error.value) and str(error.value).endswith(".")


def test_a_file_of_the_same_size_but_other_content_is_refused(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    (store.folder / record.id / "video.mp4").write_bytes(b"w" * 1_000)
    assert store.read(record.id) == record
    with pytest.raises(ValueError, match="damaged"):
        store.file(record.id, "video.mp4")


def test_a_record_under_another_id_is_refused(store: FolderStore, tmp_path: Path) -> None:
    record, other = _kept(store, tmp_path), new_id()
    shutil.copytree(store.folder / record.id, store.folder / other)
    with pytest.raises(ValueError, match="damaged"):
        store.read(other)


def test_a_newer_record_is_told_as_such_and_stays(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    path = store.folder / record.id / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "v": 99}))
    with pytest.raises(ValueError, match="newer version"):
        FolderStore(store.folder).read(record.id)


def test_only_the_token_deletes(store: FolderStore, tmp_path: Path) -> None:
    record, other = _kept(store, tmp_path), _kept(store, tmp_path)
    for wrong in ("u" * 22, "", None, record.id, "\ud800"):
        with pytest.raises(ValueError, match="not the token"):
            store.delete(record.id, wrong)
    store.delete(record.id, made.TOKEN)
    with pytest.raises(ValueError, match="There is no video"):
        store.read(record.id)
    with pytest.raises(ValueError, match="There is no video"):
        store.delete(record.id, made.TOKEN)
    assert os.listdir(store.folder / other.id) and _ids(store.folder) == [other.id]
    assert not list(store.folder.glob(".tmp-*"))


def test_a_damaged_video_can_still_be_deleted(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    (store.folder / record.id / "video.mp4").unlink()
    store.delete(record.id, made.TOKEN)
    assert _ids(store.folder) == []


def test_the_files_must_be_those_of_the_record(store: FolderStore, tmp_path: Path) -> None:
    record, files = made.record(tmp_path)
    with pytest.raises(ValueError, match="not those of the record"):
        store.write(record, {"video.mp4": files["video.mp4"]})
    files["video.mp4"].write_bytes(b"another")
    with pytest.raises(ValueError, match="changed while"):
        store.write(record, files)
    files["video.mp4"].unlink()
    with pytest.raises(ValueError, match="cannot be stored"):
        store.write(record, files)
    assert [path.name for path in store.folder.iterdir()] == [".lock"]


def test_an_id_is_never_written_twice(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    again, files = made.record(tmp_path / "again", id=record.id, size=5)
    with pytest.raises(ValueError, match="cannot be stored"):
        store.write(again, files)
    assert store.read(record.id) == record and store.file(record.id, "video.mp4").stat().st_size == 1_000


@pytest.mark.parametrize(
    ("moment", "is_written"),
    [
        (("os.mkdir", ".tmp-ID", 1), False),
        (("open", "video.mp4", 1), False),
        (("open", "video.mp4", 3), False),
        (("open", "voice.flac", 2), False),
        (("open", "record.json", 1), False),
        (("open", "record.json", 2), False),
        (("os.rename", "", 1), False),
        (("open", "links", 1), True),  # the rename is done, only not brought to the disk yet
    ],
)
def test_a_killed_writer_leaves_a_whole_record_or_none(
    tmp_path: Path, moment: tuple[str, str, int], is_written: bool
) -> None:
    store = FolderStore(tmp_path / "links")
    before = _kept(store, tmp_path)
    command = [sys.executable, "-c", KILL, str(Path(made.__file__).parent), str(store.folder), str(tmp_path / "other")]
    done = subprocess.run([*command, *map(str, moment)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    id = done.stdout.strip()
    restarted = FolderStore(store.folder)
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([".lock", *_ids(store.folder)])
    assert set(_ids(store.folder)) == ({before.id, id} if is_written else {before.id})
    for kept in _ids(store.folder):
        assert set(restarted.read(kept).files) == {"video.mp4", "poster.webp", "inputs/voice.flac"}
        assert restarted.file(kept, "video.mp4").stat().st_size == 1_000


def test_leftovers_of_killed_processes_go_at_the_start_and_at_every_write(store: FolderStore, tmp_path: Path) -> None:
    for again in (lambda: FolderStore(store.folder), lambda: _kept(store, tmp_path)):
        left = store.folder / f".tmp-{new_id()}"
        left.mkdir()
        (left / "video.mp4").write_bytes(b"half")
        again()
        assert not left.exists()


def test_old_records_go_by_age(store: FolderStore, tmp_path: Path) -> None:
    young, old = _kept(store, tmp_path, days_ago=89), _kept(store, tmp_path, days_ago=91)
    assert store.prune() == 1 and _ids(store.folder) == [young.id]
    assert store.prune() == 0
    with pytest.raises(ValueError, match="has expired"):
        store.read(old.id)
    FolderStore(store.folder, Retention(max_age_days=30))
    assert _ids(store.folder) == [], "and at the start"


def test_the_oldest_go_by_bytes_and_by_number(store: FolderStore, tmp_path: Path) -> None:
    records = [_kept(store, tmp_path, days_ago=10 - number, size=100_000) for number in range(5)]
    newest_first = [record.id for record in reversed(records)]
    FolderStore(store.folder, Retention(max_records=4))
    assert _ids(store.folder) == sorted(newest_first[:4])
    FolderStore(store.folder, Retention(max_bytes=320_000))
    assert _ids(store.folder) == sorted(newest_first[:3])
    damaged = store.folder / new_id()
    (damaged / "inputs").mkdir(parents=True)
    (damaged / "inputs" / "voice.flac").write_bytes(b"x" * 300_000)  # has no record.json, and counts all the same
    os.utime(damaged, (time.time() - 9 * DAY,) * 2)
    FolderStore(store.folder, Retention(max_bytes=320_000))
    assert _ids(store.folder) == sorted(newest_first[:3])


def test_a_hundred_writes_keep_the_disk_bounded(tmp_path: Path) -> None:
    limits = Retention(max_bytes=1_000_000, max_records=50)
    store = FolderStore(tmp_path / "links", limits)
    for _ in range(100):
        record, files = made.record(tmp_path / "work", size=50_000)
        store.write(record, files)
        assert _bytes(store.folder) <= limits.max_bytes and store.has(record.id)
        shutil.rmtree(tmp_path / "work")
    assert 15 <= len(_ids(store.folder)) <= 20
    assert _ids(FolderStore(store.folder, limits).folder) == _ids(store.folder), "the same after a restart"


def test_a_video_over_the_limit_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "links", Retention(max_bytes=1_000_000))
    with pytest.raises(ValueError, match="has 1 MB, too many to be kept here"):
        store.write(*made.record(tmp_path, size=900_000))
    for name in ("max_age_days", "max_bytes", "max_records"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            Retention(**{name: 0})


def test_two_processes_write_and_prune_at_once(tmp_path: Path) -> None:
    folder, tests = tmp_path / "links", str(Path(made.__file__).parent)
    work = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, tests, str(folder), str(tmp_path / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    ends = [(process.communicate(timeout=300), process.returncode) for process in work]
    assert [code for _, code in ends] == [0, 0], ends
    store = ReadOnlyStore(folder)
    assert len(_ids(folder)) == 8 and not list(folder.glob(".tmp-*"))
    for id in _ids(folder):
        assert store.file(id, "video.mp4").stat().st_size == 20_000


def test_the_gallery_is_read_and_never_changed(store: FolderStore, tmp_path: Path) -> None:
    shown, files = made.record(tmp_path / "work")
    (tmp_path / "gallery").mkdir()
    write_record(tmp_path / "gallery", shown, files)
    both = Stores(ReadOnlyStore(tmp_path / "gallery"), store)
    own, own_files = made.record(tmp_path / "work")
    both.write(own, own_files)
    assert [both.read(record.id) for record in (shown, own)] == [shown, own]
    assert both.file(shown.id, "poster.webp").read_bytes() == both.file(own.id, "poster.webp").read_bytes()
    with pytest.raises(ValueError, match="gallery and cannot be deleted"):
        both.delete(shown.id, made.TOKEN)
    os.utime(tmp_path / "gallery" / shown.id / "record.json", (0, 0))
    assert both.prune() == 0 and both.has(shown.id)
    both.delete(own.id, made.TOKEN)
    assert not both.has(own.id) and both.has(shown.id)
    with pytest.raises(ValueError, match="cannot be written"):
        both.gallery.write(own, own_files)
    assert both.gallery.prune() == 0
    with pytest.raises(ValueError, match="There is no video"):
        Stores(ReadOnlyStore(tmp_path / "missing"), store).read(shown.id)


def test_copies_are_taken_out_to_be_served(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    for _ in range(2):
        copy = take(store, record.id, "inputs/voice.flac", tmp_path / "served")
        assert copy == tmp_path / "served" / record.id / "voice.flac" and copy.read_bytes() == record.id.encode()
    assert [path.name for path in copy.parent.iterdir()] == ["voice.flac"]
    store.delete(record.id, made.TOKEN)
    with pytest.raises(ValueError, match="There is no video"):
        take(store, record.id, "video.mp4", tmp_path / "served")
    own = _kept(store, tmp_path)
    with pytest.raises(ValueError, match="disk cannot be written") as error:
        take(store, own.id, "video.mp4", store.folder / own.id / "video.mp4")  # a file where a folder should be
    assert str(tmp_path) not in str(error.value)


def test_a_folder_that_cannot_be_written_is_told_to_whoever_starts_the_page(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="links cannot be stored in .*file.*: name another folder in HUMO_RECORDS"):
        FolderStore(tmp_path / "file" / "links")
    store = FolderStore(tmp_path / "links")
    record, files = made.record(tmp_path)
    shutil.rmtree(store.folder)
    store.folder.write_text("")
    with pytest.raises(ValueError, match="disk cannot be written") as error:
        store.write(record, files)
    assert str(tmp_path) not in str(error.value), "visitors learn nothing of the server's folders"


def test_records_are_closed_to_other_users(store: FolderStore, tmp_path: Path) -> None:
    record = _kept(store, tmp_path)
    for folder in (store.folder, store.folder / record.id, store.folder / record.id / "inputs"):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_record_without_inputs_says_so_when_it_is_opened(store: FolderStore, tmp_path: Path) -> None:
    record, files = made.record(tmp_path)
    bare = replace(record, files={name: FileEntry.of(files[name]) for name in ("video.mp4", "poster.webp")})
    store.write(bare, {name: files[name] for name in bare.files})
    opened = store.read(bare.id)
    assert opened.missing == ("picture", "voice") and "were not kept" in opened.missing_note
