"""The gallery: examples as finished records, made again only where something changed.

Run: python -m pytest tests/space/links/test_gallery.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made
import pytest
import soundfile
import tiny

from humo.pipeline import HuMoPipeline
from humo.space.examples import Example, read_examples
from humo.space.links.gallery import gallery_id, main, read_gallery, write_gallery
from humo.space.links.records import Record, is_id, link
from humo.space.links.settings import read_settings
from humo.space.links.storage import FolderStore, ReadOnlyStore, Stores


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    tiny.picture().save(tmp_path / "face.png")
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(0.3))
    face, voice = tmp_path / "face.png", tmp_path / "voice.wav"
    return [
        Example(mode="TI", title="She nods", prompt=made.PROMPT, image=face, audio=None, seed=3),
        Example(mode="TIA", title="She talks", prompt=made.PROMPT, image=face, audio=voice, seed=4),
    ]


def _write(
    pipe: HuMoPipeline, folder: Path, examples: list[Example], fingerprint: str = "aa"
) -> list[tuple[Record, bool]]:
    return [(record, is_new) for _, record, is_new in write_gallery(pipe, fingerprint, folder, examples)]


def test_every_example_is_a_record_that_opens_like_any_link(
    mini_pipeline: HuMoPipeline, examples: list[Example], tmp_path: Path
) -> None:
    folder = tmp_path / "generations"
    written = _write(mini_pipeline, folder, examples)
    assert [is_new for _, is_new in written] == [True, True]
    store = Stores(ReadOnlyStore(folder), FolderStore(tmp_path / "links"))
    shown = read_gallery(store, examples)
    assert [example for example, _ in shown] == examples and [record for _, record in shown] == [r for r, _ in written]
    for example, record in shown:
        assert record.id == gallery_id(example.title) and store.read(record.id) == record
        assert (record.settings.mode, record.settings.prompt) == (example.mode, example.prompt)
        assert record.settings.seed == example.seed and record.missing == () and record.delete_sha256 is None
        assert read_settings(store.file(record.id, "video.mp4")) == record.settings
        assert record.has_sound == (example.audio is not None)
        for name in record.files:
            assert store.file(record.id, name).stat().st_size == record.files[name].bytes
        assert str(tmp_path) not in record.to_json()
        with pytest.raises(ValueError, match="cannot be deleted"):
            store.delete(record.id, "A" * 22)
    assert sorted(path.name for path in folder.iterdir()) == sorted(record.id for record, _ in written)


@pytest.mark.slow
def test_only_what_changed_is_made_again(mini_pipeline: HuMoPipeline, examples: list[Example], tmp_path: Path) -> None:
    folder = tmp_path / "generations"
    first = [record for record, _ in _write(mini_pipeline, folder, examples)]
    assert _write(mini_pipeline, folder, examples) == [(record, False) for record in first]

    changed = [replace(examples[0], seed=5), examples[1]]
    assert [is_new for _, is_new in _write(mini_pipeline, folder, changed)] == [True, False]
    samples, rate = tiny.voice(0.3)
    soundfile.write(examples[1].audio, samples / 2, rate)
    assert [is_new for _, is_new in _write(mini_pipeline, folder, changed)] == [False, True]
    (folder / first[0].id / "video.mp4").write_bytes(b"torn")
    (folder / f".tmp-{first[0].id}").mkdir()
    assert [is_new for _, is_new in _write(mini_pipeline, folder, changed)] == [True, False]
    assert [is_new for _, is_new in _write(mini_pipeline, folder, changed, "bb")] == [True, True], "another model"

    assert [is_new for _, is_new in _write(mini_pipeline, folder, changed[:1], "bb")] == [False]
    assert [path.name for path in folder.iterdir()] == [first[0].id], "whose example is gone goes too"


def test_a_stopped_run_goes_on_where_it_was(
    mini_pipeline: HuMoPipeline, examples: list[Example], tmp_path: Path
) -> None:
    run = write_gallery(mini_pipeline, "aa", tmp_path / "generations", examples)
    _, first, _ = next(run)
    run.close()
    assert [example for example, _ in read_gallery(ReadOnlyStore(tmp_path / "generations"), examples)] == examples[:1]
    again = _write(mini_pipeline, tmp_path / "generations", examples)
    assert again[0] == (first, False) and again[1][1]


def test_links_of_the_pages_examples_outlive_new_weights() -> None:
    examples = read_examples()
    ids = [gallery_id(example.title) for example in examples]
    assert len(set(ids)) == len(ids) and all(is_id(id) for id in ids)
    assert link(gallery_id("She nods"), "http://localhost:7860") == "http://localhost:7860/?g=Sl_VCIvKZ26tN1a3Ow1nOg"


def test_mistakes_are_one_sentence(
    mini_pipeline: HuMoPipeline, examples: list[Example], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(ValueError, match="same title"):
        _write(mini_pipeline, tmp_path / "generations", [examples[0], examples[0]])
    with pytest.raises(ValueError, match="prompt is empty"):
        _write(mini_pipeline, tmp_path / "generations", [replace(examples[0], prompt=" ")])
    assert read_gallery(ReadOnlyStore(tmp_path / "generations"), examples) == []
    with pytest.raises(ValueError, match="face.png is a file"):
        _write(mini_pipeline, tmp_path / "face.png", examples)
    assert main(["--model", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("holds no weights: give the folder of a saved pipeline.\n")
    assert main(["--help"]) == 0
