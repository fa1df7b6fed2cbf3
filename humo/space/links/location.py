"""Where the records of visitors go on this computer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from humo.system.caches import is_writable, user_cache

BUCKET = Path("/data")
"""Where a Space's bucket is mounted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFolder:
    """A folder for records."""

    folder: Path
    is_lasting: bool
    """False where a restart may empty it: in a Space without a bucket, or for a user without a home."""


def find_record_folder(environment: Mapping[str, str] = os.environ, bucket: Path = BUCKET) -> RecordFolder:
    """Choose a folder: HUMO_RECORDS, else a Space's bucket, else the user's data folder, or cache where it is closed.

    Args:
        environment: variables of the process.
        bucket: where a Space's would be mounted.
    """
    if chosen := environment.get("HUMO_RECORDS"):
        return RecordFolder(folder=Path(chosen).expanduser().absolute(), is_lasting=True)
    in_space = bool(environment.get("SPACE_ID"))
    if in_space and bucket.is_dir() and os.access(bucket, os.W_OK):
        return RecordFolder(folder=bucket / "generations", is_lasting=True)
    data = Path(environment.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # as the XDG specification asks
        data = Path(environment.get("HOME") or os.path.expanduser("~"), ".local", "share")
    below = Path("humo-compact", "generations")
    if is_writable(data / below):
        return RecordFolder(folder=data / below, is_lasting=not in_space)
    return RecordFolder(folder=user_cache() / below, is_lasting=False)
