"""A record of a generation: what a link `?g=<id>` opens, long after the page that made it.

A record is a folder `<id>/{record.json, video.mp4, poster.webp, inputs/...}` (`humo.space.links.storage`). This module
knows the JSON: it holds no path, no address and nothing of the visitor but what the video itself shows; the token that
deletes it is kept only as its hash. Schema versions before the current one are migrated when read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from humo.space.links.settings import VideoSettings, check_text
from humo.system.digests import digest_file

SCHEMA = 2
"""Of the records that are written."""
VIDEO, POSTER = "video.mp4", "poster.webp"
MAX_FILE = 1 << 30
"""Bytes of one file."""
MAX_NOTES, MAX_NOTE = 20, 500
"""Sentences, and characters of each."""
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_NAME = re.compile(r"video\.mp4|poster\.webp|inputs/[a-z0-9-]{1,40}\.(?:webp|flac)")
_HASH = re.compile(r"[0-9a-f]{64}")
_CREATED = "%Y-%m-%dT%H:%M:%SZ"
_DAMAGED = "This link's record is damaged"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a record, by its content."""

    sha256: str
    """Hexadecimal."""
    bytes: int
    """Size; 1 or more."""

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Read a file's."""
        return cls(digest_file(path), path.stat().st_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A generation as it is kept."""

    id: str
    """22 letters of `secrets.token_urlsafe(16)`: 128 bits, not to be guessed."""
    created: str
    """UTC, as 2026-11-25T18:20:00Z."""
    app: str
    """Version of this project."""
    fingerprint: str
    """Of the model's weights (`humo.system.digests.fingerprint_folder`); empty in records of version 1."""
    settings: VideoSettings
    """With the mode and the model's name."""
    seconds: float
    """Length of the video."""
    has_sound: bool
    notes: tuple[str, ...] = ()
    """What the pipeline wanted the visitor to know, in sentences."""
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    """By name: video.mp4, poster.webp, inputs/picture-1.webp, inputs/voice.flac."""
    delete_sha256: str | None = None
    """Hash of the token that deletes the record; None where nobody can, as in the gallery."""

    def __post_init__(self) -> None:
        check_id(self.id)
        _check_plain(self)
        _check_files(self.files)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the kept reference pictures, in their order."""
        return tuple(sorted(name for name in self.files if name.startswith("inputs/picture")))

    @property
    def voice(self) -> str | None:
        """Name of the kept sound."""
        return next((name for name in self.files if name.startswith("inputs/voice")), None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Inputs that the video was made from and that were not kept: "picture" or "pictures", "voice". A drawn person
        can be drawn again."""
        needed = self.settings.num_images - (self.settings.portrait is not None)
        lacks_picture = len(self.pictures) < needed
        lacks_voice = "A" in self.settings.mode and self.voice is None
        return ("pictures" if needed > 1 else "picture",) * lacks_picture + ("voice",) * lacks_voice

    @property
    def missing_note(self) -> str:
        """A sentence about the missing inputs; empty if none is missing."""
        if not self.missing:
            return ""
        verb = "was" if self.missing in (("picture",), ("voice",)) else "were"
        return f"The {' and the '.join(self.missing)} {verb} not kept with this link: give your own to make it again."

    def is_deleted_by(self, token: object) -> bool:
        """Whether a token is the one that deletes this record; takes the same time whatever the token is."""
        given = token if is_id(token) else ""
        return hmac.compare_digest(hash_token(given), self.delete_sha256 or "")

    def to_json(self) -> str:
        """The record as text, for record.json."""
        return json.dumps({"v": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read a record of this or an earlier schema version.

        Raises:
            ValueError: in one sentence, if it is of a later version or damaged.
        """
        try:
            plain = _migrated(json.loads(text))
            settings = VideoSettings.of_plain(plain.pop("settings"))
            files = {name: FileEntry(**entry) for name, entry in plain.pop("files").items()}
            notes = tuple(plain.pop("notes"))
            others = {each.name for each in fields(cls)} - {"settings", "files", "notes"}
            return cls(settings=settings, files=files, notes=notes, **{name: plain[name] for name in others})
        except NewerSchema as error:
            raise ValueError(str(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, _Refused) else "it cannot be read."
            raise ValueError(f"{_DAMAGED}: {reason}") from None


class NewerSchema(Exception):  # noqa: N818 (a fact about the record, told to the visitor as it is)
    """The record was written by a later version."""


class _Refused(ValueError):
    """A sentence of ours, told apart from those of the JSON reader."""


def new_id() -> str:
    """An id, or a token, that nobody can guess."""
    return secrets.token_urlsafe(16)


def is_id(text: object) -> TypeGuard[str]:
    """Whether a text could be an id, or a token."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def check_id(id: object) -> str:
    """The id, if it could be one; it is then safe as the name of a folder.

    Raises:
        ValueError: in one sentence, otherwise.
    """
    if not is_id(id):
        raise ValueError("This is not a link of ours: its address must end in ?g= and 22 letters, so copy it whole.")
    return id


def check_name(name: object) -> str:
    """The name, if a record can have a file of it; it leads nowhere out of the record's folder.

    Raises:
        ValueError: in one sentence, otherwise.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("A record has no such file: ask for the video, the poster or one of its inputs.")
    return name


def hash_token(token: str) -> str:
    """What is kept of a delete token, hexadecimal; the token itself is 128 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def link(id: str, origin: str, space_id: str | None = None) -> str:
    """The address to share.

    Args:
        id: of the record.
        origin: where the page is served, as the visitor's browser names it: "https://host:port" or with a path.
        space_id: "owner/name" in a Space (its variable SPACE_ID), whose page has an address of its own.

    Raises:
        ValueError: if a part cannot stand in an address.
    """
    check_id(id)
    if space_id:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", space_id, re.ASCII):
            raise ValueError(f"SPACE_ID is {space_id[:60]!r}: it must be owner/name.")
        return f"https://huggingface.co/spaces/{space_id}?g={id}"
    try:
        parts = urlsplit(origin)
    except ValueError:
        parts = urlsplit("")
    is_plain = re.fullmatch(r"[\w.:\[\]-]+ [\w/.~-]*", f"{parts.netloc} {parts.path}", re.ASCII)
    if parts.scheme not in ("http", "https") or not is_plain:
        raise ValueError("The page does not know its own address: open it as http:// or https:// with a host.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/?g={id}"


def now() -> str:
    """The time, as a record keeps it."""
    return datetime.now(UTC).strftime(_CREATED)


def app_version() -> str:
    """Of this project, or "source" where it runs without being installed, as in a Space."""
    try:
        return version("humo-compact")
    except PackageNotFoundError:
        return "source"


def _from_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Version 1 named the model only, kept the settings beside everything else, and could not be deleted by token."""
    settings = {each.name: plain[each.name] for each in fields(VideoSettings) if each.name in plain}
    others = {name: value for name, value in plain.items() if name not in settings}
    return {**others, "v": 2, "settings": settings, "fingerprint": "", "notes": [], "delete_sha256": None}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
"""By schema version: to the next one."""


def _migrated(plain: Any) -> dict[str, Any]:
    number = plain.get("v")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise _Refused("it does not say its version.")
    if number > SCHEMA:
        raise NewerSchema(
            f"This link was made by a newer version of this page (records of version {str(number)[:9]}, "
            f"this page reads up to {SCHEMA}): open it there."
        )
    while plain["v"] < SCHEMA:
        plain = MIGRATIONS[plain["v"]](plain)
    return dict(plain)


def _check_plain(record: Record) -> None:
    check_text("app", record.app, 100)
    if not re.fullmatch(r"[0-9a-f]{0,64}", record.fingerprint):
        raise _Refused("its model's fingerprint is none.")
    datetime.strptime(record.created, _CREATED)
    is_number = isinstance(record.seconds, int | float) and not isinstance(record.seconds, bool)
    if not is_number or not 0 < record.seconds <= 3600:
        raise _Refused("its length is no number of seconds.")
    if not isinstance(record.has_sound, bool):
        raise _Refused("it does not say whether there is sound.")
    if len(record.notes) > MAX_NOTES:
        raise _Refused(f"it has more than {MAX_NOTES} notes.")
    for note in record.notes:
        check_text("note", note, MAX_NOTE)
    if record.delete_sha256 is not None and not _HASH.fullmatch(record.delete_sha256):
        raise _Refused("the hash of its delete token is none.")


def _check_files(files: Mapping[str, FileEntry]) -> None:
    for name, entry in files.items():
        check_name(name)
        if not _HASH.fullmatch(entry.sha256):
            raise _Refused(f"the hash of {name} is none.")
        if not isinstance(entry.bytes, int) or isinstance(entry.bytes, bool) or not 0 < entry.bytes <= MAX_FILE:
            raise _Refused(f"the size of {name} is none.")
    if missing := {VIDEO, POSTER} - files.keys():
        raise _Refused(f"it has no {min(missing)}.")
