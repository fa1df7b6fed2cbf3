"""What became of every line: kept beside each video, and told in one report. Ours.

For the video `ID.mp4` the note `ID.json` holds the key of all that it was made from; a video is done when both are
there. `report.jsonl` has an object for each line of the list, as the last run left it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from humo.jobs.reading import BadLine, VideoJob
from humo.system.digests import digest_data, digest_file
from humo.system.files import read_object, write_json

REPORT = "report.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A video of a list that is there.

    Attributes:
        job: what was asked for.
        file: the mp4.
        told: frames, seconds, seed, notes, and took: seconds of the work.
        is_kept: whether an earlier run made it.
    """

    job: VideoJob
    file: Path
    told: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = False

    def plain(self) -> dict[str, Any]:
        """For the report."""
        kept = {"kept": True} if self.is_kept else {}
        return {"line": self.job.line, "id": self.job.id, "file": self.file.name, **self.told, **kept}


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A video of a list that cannot be made.

    Attributes:
        line: its number.
        id: of the video; "" if it has none.
        error: a sentence.
    """

    line: int
    id: str
    error: str

    @classmethod
    def of_line(cls, bad: BadLine) -> Failed:
        """Of a line that cannot be read."""
        return cls(line=bad.line, id=bad.id, error=bad.error)

    def plain(self) -> dict[str, Any]:
        """For the report."""
        return {"line": self.line, **({"id": self.id} if self.id else {}), "error": self.error}


class Keeper:
    """The videos of a folder, and what tells whether one is still the one that is asked for.

    Args:
        folder: existing.
        model: what makes them, as plain data.
    """

    def __init__(self, folder: Path, model: dict[str, Any]) -> None:
        self.folder, self._model = folder, model
        self._digests: dict[Path, str] = {}

    def file(self, job: VideoJob) -> Path:
        """Where a job's video goes."""
        return self.folder / f"{job.id}.mp4"

    def find(self, job: VideoJob) -> Made | None:
        """A job's video, if it was made from the very same."""
        told = read_object(self._note(job)) or {}
        if told.pop("key", None) != self._key(job) or not self.file(job).is_file():
            return None
        return Made(job=job, file=self.file(job), told=told, is_kept=True)

    def begin(self, job: VideoJob) -> None:
        """Forget what was told of an earlier video, so that no note outlives its video."""
        self._note(job).unlink(missing_ok=True)

    def keep(self, made: Made) -> None:
        """Tell of a video that is there."""
        write_json(self._note(made.job), {"key": self._key(made.job), **made.told})

    def _note(self, job: VideoJob) -> Path:
        return self.folder / f"{job.id}.json"

    def _key(self, job: VideoJob) -> str:
        """Of all that makes the video: the model, the request, and what its files hold, whatever their names."""
        names = [each.name for each in fields(job.request) if each.name != "guidance"]  # it follows from the two below
        request = {name: self._plain(getattr(job.request, name)) for name in names}
        told = [self._model, request, job.rule, dict(job.scales), job.enlarge]
        return digest_data(told)[:16]

    def _plain(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._plain(each) for each in value]
        if not isinstance(value, Path):
            return value
        if value not in self._digests:
            self._digests[value] = digest_file(value)
        return self._digests[value]


@contextmanager
def writing_report(folder: Path) -> Iterator[IO[str]]:
    """The report, begun anew; a line is in it as soon as it is written."""
    with (folder / REPORT).open("w", encoding="utf-8", buffering=1) as report:
        yield report


def write_entry(report: IO[str], entry: Made | Failed) -> None:
    """Add what became of a line."""
    report.write(json.dumps(entry.plain(), ensure_ascii=False) + "\n")
