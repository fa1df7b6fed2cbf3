"""Sharing: a finished video becomes a record with a link and a token that deletes it.

The settings are read from the video itself, so a link never tells others than the file. Inputs are kept only if the
visitor wants it, and then without their names and without what cameras and recorders write beside the pixels and
samples.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import soundfile
from PIL import Image

from humo.media import read_picture, read_sound
from humo.portrait import Portrait, draw_portrait
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import Result
from humo.space.links.records import POSTER, VIDEO, FileEntry, Record, app_version, hash_token, new_id, now
from humo.space.links.settings import VideoSettings, read_settings
from humo.space.links.storage import Store
from humo.timing import FPS

MAX_SIDE = 1_280
"""Larger reference pictures are kept at this many pixels: no published model shows more of them."""
_TIMEOUT = 60
"""Seconds that ffmpeg may take for one frame."""


def share(
    store: Store, result: Result, request: VideoRequest, fingerprint: str, keep_inputs: bool = False
) -> tuple[Record, str]:
    """Keep a finished video under a new link.

    Args:
        store: where.
        result: the video.
        request: what it was made from.
        fingerprint: of the model (`humo.system.digests.fingerprint_folder`).
        keep_inputs: also keep the pictures and the sound; ask the visitor, for they may be a face and a voice.

    Returns:
        The record, and the token that deletes it. The token is nowhere else: show it now.

    Raises:
        ValueError: in one sentence, if the video or a wanted input is no longer there, the request is not this
            video's, or the store refuses.
    """
    token = new_id()
    with tempfile.TemporaryDirectory(prefix="humo-share-") as folder:
        files = collect_files(result, request, Path(folder), keep_inputs)
        record = make_record(new_id(), result, fingerprint, files, hash_token(token))
        store.write(record, files)
    return record, token


def collect_files(result: Result, request: VideoRequest, folder: Path, keep_inputs: bool) -> dict[str, Path]:
    """The files of a record, by name: the video as it is, and what is made from it and its inputs.

    Args:
        result: the video.
        request: what it was made from.
        folder: for what is made; existing and empty.
        keep_inputs: also write the inputs.

    Raises:
        ValueError: in one sentence, if a file is no longer there or the request is not this video's.
    """
    settings = read_settings(result.path)
    _check_same(settings, request)
    files = {VIDEO: result.path, POSTER: _write_poster(result, folder / POSTER)}
    return files | write_inputs(request, result.seconds, folder) if keep_inputs else files


def make_record(
    id: str, result: Result, fingerprint: str, files: Mapping[str, Path], delete_sha256: str | None
) -> Record:
    """The record of a finished video.

    Args:
        id: of the record.
        result: the video.
        fingerprint: of the model.
        files: by name (`collect_files`).
        delete_sha256: hash of the token that deletes it, None if nobody may.
    """
    return Record(
        id=id,
        created=now(),
        app=app_version(),
        fingerprint=fingerprint,
        settings=read_settings(result.path),
        seconds=result.seconds,
        has_sound=result.has_sound,
        notes=result.notes,
        files={name: FileEntry.of(path) for name, path in files.items()},
        delete_sha256=delete_sha256,
    )


def write_inputs(request: VideoRequest, seconds: float, folder: Path) -> dict[str, Path]:
    """Write a request's pictures and sound as they are kept: lossless, nameless, without metadata.

    Pictures have at most `MAX_SIDE` pixels a side; the sound ends a frame after the video, so that it still asks for
    the same number of frames, or where the model hears it earlier than it is played, after what it heard.

    Args:
        request: its inputs are read.
        seconds: length of the video.
        folder: `inputs/` is made in it.

    Returns:
        The files, by name in a record.

    Raises:
        ValueError: if an input is no longer there.
    """
    (folder / "inputs").mkdir()
    files = {}
    for number, picture in enumerate(request.images, start=1):
        name = f"inputs/picture-{number}.webp"
        shown = draw_portrait(picture) if isinstance(picture, Portrait) else read_picture(picture)
        _write_picture(shown, folder / name)
        files[name] = folder / name
    if request.audio is not None:
        sound, name = read_sound(request.audio), "inputs/voice.flac"
        ahead = max(1 / FPS, -request.audio_shift / 1000)
        kept = sound.original[: round((seconds + ahead) * sound.rate)]
        soundfile.write(str(folder / name), kept, sound.rate, subtype="PCM_24")
        files[name] = folder / name
    return files


def _check_same(settings: VideoSettings, request: VideoRequest) -> None:
    """A page that mixed up two visitors' requests would give away a face: better no link."""
    given = (request.prompt, len(request.images), request.audio is not None)
    if given != (settings.prompt, settings.num_images, "A" in settings.mode):
        raise ValueError("The inputs are not those of this video: generate it again, then share it.")


def _write_picture(picture: Image.Image, path: Path) -> None:
    plain = Image.new("RGB", picture.size)  # takes over pixels only: no EXIF, no colour profile, no comments
    plain.paste(picture)
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    plain.save(path, "WEBP", lossless=True)


def _write_poster(result: Result, path: Path) -> Path:
    """The middle frame, at the video's own size."""
    from imageio_ffmpeg import get_ffmpeg_exe

    moment = max(0.0, (result.num_frames // 2 - 0.5) / FPS)
    given = ["-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe", "-f", "mov", "-ss", f"{moment:.3f}"]
    wanted = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"]
    command = [get_ffmpeg_exe(), *given, "-i", str(result.path.resolve()), *wanted]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT)
        Image.open(io.BytesIO(done.stdout)).convert("RGB").save(path, "WEBP", quality=80)
    except (OSError, subprocess.SubprocessError):
        raise ValueError("The video cannot be read any more: generate it again, then share it.") from None
    return path
