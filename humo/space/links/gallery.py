"""The gallery: the page's examples as finished records, so that each opens at the first click without computing.

`python -m humo.space.links.gallery` makes them with the bundled model, each as a visitor would with that example's
button: same seed, same settings, the same code. A record's id comes from its example's title, so its link outlives
new weights. The command goes on where it was stopped, and makes again only what another model, text, picture or voice
has outdated.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humo.assets import MINI
from humo.space.examples import Example, read_examples
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo, Result
from humo.space.links.record_files import clear_parts, remove_record, write_record
from humo.space.links.records import FileEntry, Record, is_id
from humo.space.links.share import collect_files, make_record, write_inputs
from humo.space.links.storage import GALLERY, ReadOnlyStore, Store
from humo.system.command_line import as_app, run
from humo.system.digests import fingerprint_folder

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

CRF = 23
"""Of the videos' H.264; the page writes 17."""


def gallery_id(title: str) -> str:
    """The id of an example's record: 128 bits of a hash of its title, written like every id.

    It can be guessed, and may be: the gallery is public.
    """
    digest = hashlib.sha256(f"HuMo, compact: gallery: {title}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def read_gallery(store: Store, examples: Sequence[Example]) -> list[tuple[Example, Record]]:
    """The examples that have a record, in their order.

    Args:
        store: of the gallery.
        examples: as the page offers them.

    Raises:
        ValueError: in one sentence, if a record is damaged.
    """
    ids = [(example, gallery_id(example.title)) for example in examples]
    return [(example, store.read(id)) for example, id in ids if store.has(id)]


def write_gallery(
    pipe: HuMoPipeline, fingerprint: str, folder: Path, examples: Sequence[Example]
) -> Iterator[tuple[Example, Record, bool]]:
    """Make the records that are missing or outdated, and remove those whose example is gone.

    Args:
        pipe: makes the videos.
        fingerprint: of its weights.
        folder: for the records; made if it is missing.
        examples: with titles that differ.

    Yields:
        Each example in its order, its record, and whether it was made just now.

    Raises:
        ValueError: in one sentence, if two titles are the same, the folder's name belongs to a file, or a video
            cannot be made.
    """
    ids = {example.title: gallery_id(example.title) for example in examples}
    if len(ids) < len(examples):
        raise ValueError("two examples have the same title: give each its own, for its link comes from it.")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder.name} is a file: give a folder for the gallery.")
    folder.mkdir(parents=True, exist_ok=True)
    clear_parts(folder)
    for entry in folder.iterdir():
        if is_id(entry.name) and entry.name not in ids.values():
            remove_record(folder, entry.name)
    for example in examples:
        kept = _current(ReadOnlyStore(folder), ids[example.title], example, fingerprint)
        yield example, kept or _make(pipe, fingerprint, folder, example), kept is None


def _current(store: ReadOnlyStore, id: str, example: Example, fingerprint: str) -> Record | None:
    """The example's record, if it is whole and would come out the same."""
    try:
        record = store.read(id)
        for name in record.files:
            store.file(id, name)
    except ValueError:
        return None
    facts = (fingerprint, example.mode, example.prompt, example.seed)
    if facts != (record.fingerprint, record.settings.mode, record.settings.prompt, record.settings.seed):
        return None
    with tempfile.TemporaryDirectory(prefix="humo-gallery-") as work:
        inputs = write_inputs(_request(example), record.seconds, Path(work))
        is_same = all(record.files.get(name) == FileEntry.of(path) for name, path in inputs.items())
    return record if is_same else None


def _make(pipe: HuMoPipeline, fingerprint: str, folder: Path, example: Example) -> Record:
    request, id = _request(example), gallery_id(example.title)
    with tempfile.TemporaryDirectory(prefix="humo-gallery-") as work:
        result = _smaller(MakeVideo(request, Path(work) / "large.mp4").run(pipe, lambda state: None))
        files = collect_files(result, request, Path(work), keep_inputs=True)
        record = make_record(id, result, fingerprint, files, delete_sha256=None)
        if ReadOnlyStore(folder).has(id):
            remove_record(folder, id)
        write_record(folder, record, files)
    return record


def _request(example: Example) -> VideoRequest:
    return VideoRequest(
        prompt=example.prompt,
        images=() if example.image is None else (example.image,),
        audio=example.audio,
        seed=example.seed,
    )


def _smaller(result: Result) -> Result:
    """The same video in about half the bytes, for it travels with the repository; its texts and sound stay."""
    from imageio_ffmpeg import get_ffmpeg_exe

    path = result.path.with_name("smaller.mp4")
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(result.path)]
    command += ["-c:v", "libx264", "-crf", str(CRF), "-c:a", "copy", "-movflags", "+faststart", str(path)]
    subprocess.run(command, check=True)
    return replace(result, path=path)


def gallery(
    model: Annotated[Path, typer.Option(help="A saved pipeline.")] = MINI,
    out: Annotated[Path, typer.Option(help="Folder of the records.")] = GALLERY,
) -> None:
    """Make the gallery's videos from the page's examples."""
    from humo.checkpoints import load  # after --help, for it takes seconds

    examples, fingerprint = read_examples(), fingerprint_folder(model)
    total = 0
    for example, record, is_new in write_gallery(load(str(model)), fingerprint, out, examples):
        size = sum(entry.bytes for entry in record.files.values())
        total += size
        state = "made" if is_new else "kept"
        typer.echo(f"{example.mode:<3} {example.title:<20} {record.id}  {size / 1e3:4.0f} kB  {state}")
    typer.echo(f"{len(examples)} records, {total / 1e6:.2f} MB, model {model.name} {fingerprint}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; arguments and exit code as of `humo.system.command_line.run`."""
    return run(as_app(gallery), arguments, "python -m humo.space.links.gallery")


if __name__ == "__main__":
    sys.exit(main())
