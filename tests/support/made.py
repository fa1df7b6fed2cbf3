"""Finished generations for the tests of records: made by a tiny pipeline, or put together by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo, Result
from humo.space.links.records import FileEntry, Record, hash_token, new_id, now
from humo.space.links.settings import VideoSettings

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

PROMPT = "a woman with red hair, “déjà vu”, talks"
TOKEN = "t" * 22
"""Deletes the records that `record` makes."""
SETTINGS = {
    "mode": "TIA",
    "prompt": PROMPT,
    "negative_prompt": "",
    "seed": 7,
    "num_inference_steps": 2,
    "num_frames": 9,
    "num_images": 1,
    "height": 64,
    "width": 64,
    "guidance": {
        "rule": "paper",
        "text": 2.5,
        "image": 2.0,
        "audio": 3.0,
        "early": [4.0, 3.0, 1.0],
        "switch": 900.0,
    },
    "model": "humo-mini",
}


def video(pipe: HuMoPipeline, folder: Path, mode: str = "TIA") -> tuple[VideoRequest, Result]:
    """A request with a picture and a sound of private names, as its mode has them, and its video."""
    import tiny  # and torch with it, which the store's processes do without

    folder.mkdir(exist_ok=True)
    picture, sound = folder / "anna-miller.png", folder / "call from anna.wav"
    if "I" in mode:
        tiny.picture().save(picture)
    if "A" in mode:
        soundfile.write(sound, *tiny.voice(0.5))
    request = VideoRequest(
        prompt=PROMPT,
        images=(picture,) if "I" in mode else (),
        audio=sound if "A" in mode else None,
        guidance=SETTINGS["guidance"],
        seed=7,
    )
    return request, MakeVideo(request, folder / "film.mp4").run(pipe, lambda state: None)


def record(folder: Path, size: int = 1_000, **changes: Any) -> tuple[Record, dict[str, Path]]:
    """A record by hand and its files, whose contents are no media; `size` bytes of video."""
    id = changes.pop("id", None) or new_id()
    (folder / id / "inputs").mkdir(parents=True)
    contents = {"video.mp4": b"v" * size, "poster.webp": b"poster", "inputs/voice.flac": id.encode()}
    files = {name: folder / id / name for name in contents}
    for name, path in files.items():
        path.write_bytes(contents[name])
    given = {
        "created": now(),
        "app": "0.1.0",
        "fingerprint": "0123456789",
        "settings": VideoSettings.of_plain(SETTINGS),
        "seconds": 0.36,
        "has_sound": True,
        "files": {name: FileEntry.of(path) for name, path in files.items()},
        "delete_sha256": hash_token(TOKEN),
    }
    return Record(id=id, **{**given, **changes}), files
