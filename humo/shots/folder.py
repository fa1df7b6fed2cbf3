"""The folder in which a video grows shot by shot, and what tells whether a shot in it is still asked for (ours).

For every shot:
- `shot-001.npz`: the frames, losslessly (uint8 RGB, zip), so that the joined video is encoded once, from the original
  pixels. Joining mp4s would either encode the pictures twice or leave a gap in the sound at every cut. Of a piece of a
  take its latents too, from which the next one goes on, and the frames before it as it shows them.
- `shot-001.mp4`: the same with its stretch of sound, to watch while the others are made.
- `shot-001.json`: its settings and its fingerprint. It is written last, so a shot is done when it is there.

`shots.json` holds the whole plan. Every file appears whole under its name or not at all.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humo.media import write_video
from humo.requests.output import Earlier, fade
from humo.shots.cuts import Shot
from humo.system.files import atomic_write, read_object, write_json
from humo.timing import FPS

MAX_METADATA = 60_000
"""Most characters of settings in an mp4: the encoder takes them as one argument, and systems limit its length."""
PLAN = "shots.json"
_PART = ".humo-"


class ShotFolder:
    """Shots on disk.

    Args:
        path: the folder; made by `begin`.

    Raises:
        ValueError: if there is a file of that name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path.name} is a file: give a folder for the shots.")

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Make the folder, tidy it and write the plan.

        Raises:
            ValueError: if it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for left in (*self.path.glob(_PART + "*"), *self.path.glob("shot*.part")):  # by a run that was killed
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            write_json(self.path / PLAN, plan, indent=1)
        except OSError as error:
            raise ValueError(
                f"The folder {self.path.name} is not to be written ({error.strerror}): give another."
            ) from None

    def seed(self) -> int | None:
        """Seed of the plan that the folder holds; None without one."""
        plan = read_object(self.path / PLAN)
        seed = None if plan is None else plan.get("seed")
        return seed if isinstance(seed, int) else None

    def why_missing(self, shot: Shot, print_: str, is_gone_on_from: bool = False) -> str | None:
        """What is wrong with a saved shot: None if it is done, "" if it never was, else the end of a sentence.

        Args:
            shot: which.
            print_: its fingerprint.
            is_gone_on_from: whether a piece of a take goes on from it, which needs its latents.
        """
        record = read_object(self._file(shot, "json"))
        if record is None:
            return ""
        if record.get("fingerprint") != print_:
            return "was made from something else"
        try:
            arrays = self._read(shot)
        except ValueError:
            return "is damaged"
        if is_gone_on_from and "latents" not in arrays:
            return "was made as a shot by itself, without what a take goes on from"
        return None

    def write(
        self,
        shot: Shot,
        frames: np.ndarray,
        audio: tuple[np.ndarray, int],
        settings: Mapping[str, Any],
        print_: str,
        latents: np.ndarray | None = None,
        overlapped: np.ndarray | None = None,
    ) -> None:
        """Save a shot that is done.

        Args:
            shot: which.
            frames: uint8 RGB, (shot.num_frames, h, w, 3).
            audio: its stretch of the sound, (samples, rate in Hz).
            settings: all that was asked, as plain data.
            print_: its fingerprint.
            latents: of all frames that were made, float32 (z, latent frames, h, w); of a piece of a take.
            overlapped: the known frames before it as they were decoded, uint8 RGB (overlap, h, w, 3); None for none.
        """
        record = self._file(shot, "json")
        record.unlink(missing_ok=True)  # of an older shot: from here to the end there is no whole one
        with atomic_write(self._file(shot, "npz")) as part, open(part, "wb") as file:
            further = {"latents": latents, "overlapped": overlapped}
            given: dict[str, Any] = {name: array for name, array in further.items() if array is not None}
            np.savez_compressed(file, frames=frames, **given)
        write_video(self._file(shot, "mp4"), frames, FPS, audio, dict(settings))
        write_json(record, {**describe(shot), "settings": settings, "fingerprint": print_}, indent=1)

    def read_frames(self, shot: Shot) -> np.ndarray:
        """The frames of a saved shot, uint8 RGB (f, h, w, 3).

        Raises:
            ValueError: if the file is missing or damaged.
        """
        return self._read(shot)["frames"]

    def read_earlier(self, shots: Sequence[Shot], shot: Shot) -> Earlier:
        """What a piece of a take goes on from.

        Args:
            shots: all pieces.
            shot: the piece.

        Returns:
            The frames that it knows, and the latents of the piece before.

        Raises:
            ValueError: as of `read_frames`.
        """
        before = self._read(shots[shot.number - 2])
        frames, number = [before["frames"]], shot.number - 2
        while sum(map(len, frames)) < shot.overlap:
            number -= 1
            frames.insert(0, self.read_frames(shots[number]))
        return Earlier(np.concatenate(frames), latents=before["latents"])

    def _gather(self, shots: Sequence[Shot], frames: np.ndarray) -> None:
        for shot in shots:
            arrays = self._read(shot)
            before = frames[shot.start - shot.overlap : shot.start]
            before[:] = fade(before, arrays.get("overlapped"))
            frames[shot.start : shot.stop] = arrays["frames"]

    def _read(self, shot: Shot) -> dict[str, np.ndarray]:
        path = self._file(shot, "npz")
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
            frames = arrays["frames"]
        except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
            raise ValueError(f"{path.name} is missing or damaged: make the shots again.") from None
        if len(frames) != shot.num_frames:
            raise ValueError(f"{path.name} has {len(frames)} frames, not {shot.num_frames}: make the shots again.")
        return arrays

    def read_whole(self, shots: Sequence[Shot]) -> np.ndarray:
        """All frames, uint8 RGB (f, h, w, 3), each piece of a take faded into by the one before."""
        height, width = self.read_frames(shots[0]).shape[1:3]
        frames = np.empty((shots[-1].stop, height, width, 3), np.uint8)
        self._gather(shots, frames)
        return frames

    def join(
        self,
        shots: Sequence[Shot],
        path: str | Path,
        audio: tuple[np.ndarray, int],
        settings: Mapping[str, Any],
        scale: int = 1,
    ) -> Path:
        """Write one mp4 of all shots with the sound that is given.

        The frames are gathered in a file, not in memory: ten minutes in high definition are 40 GB.
        """
        height, width = self.read_frames(shots[0]).shape[1:3]
        shape = (shots[-1].stop, height, width, 3)
        with tempfile.TemporaryDirectory(dir=self.path, prefix=_PART) as folder:
            frames = np.lib.format.open_memmap(Path(folder) / "frames.npy", "w+", np.uint8, shape)
            self._gather(shots, frames)
            written = write_video(path, frames, FPS, audio, _short(settings), scale)
            del frames  # some systems do not remove a file that is mapped
        return written

    def _file(self, shot: Shot, ending: str) -> Path:
        return self.path / f"shot-{shot.number:03d}.{ending}"


def describe(shot: Shot) -> dict[str, Any]:
    """A shot as plain data: number, first frame, frames, seconds, and where the sound is cut."""
    return {
        "shot": shot.number,
        "start_frame": shot.start,
        "frames": shot.num_frames,
        "frames_made": shot.num_frames_made,
        "start": shot.start / FPS,
        "end": shot.stop / FPS,
        "cut": shot.note,
        **({"overlap": shot.overlap} if shot.overlap else {}),
    }


def _short(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that fit into an mp4: of very many shots the reasons and prompts stay in the folder."""
    if len(json.dumps(settings, ensure_ascii=False)) <= MAX_METADATA:
        return dict(settings)
    kept = {name: value for name, value in settings.items() if name != "prompt_read"}
    return {**kept, "prompt": f"see {PLAN}", "shots": [shot["start_frame"] for shot in settings["shots"]]}
