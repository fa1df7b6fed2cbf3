"""Files that a program names in a call: carried in the call itself, or uploaded before. Ours.

Nothing is fetched from anywhere, and no file of the server is read but one that was uploaded to it or made here, which
`humo.space.jobs.admission` sees to.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from urllib.parse import unquote

from humo.space.temporary import DiskQuota
from humo.system.ranges import short

HOW = "As a data: URL in base64, or the path or address that an upload to /gradio_api/upload gave."
"""How a file is named, for whoever calls."""
_DATA = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_SERVED = "/gradio_api/file="
"""In the address of an upload, or of a video that was made here; its path follows."""
_REMEDY = (
    'give a data: URL ("data:image/png;base64,..."), or upload the file to /gradio_api/upload (multipart, field '
    '"files") and give the path that comes back'
)


def find_file(given: object, name: str, folder: Path, quota: DiskQuota) -> Path:
    """Where the file of an argument lies.

    Args:
        given: the argument.
        name: of the argument, for sentences and for the file.
        folder: where what is carried in the call is written; it goes with the call.
        quota: makes room for it.

    Returns:
        A path that is not looked at yet.

    Raises:
        ValueError: in one sentence, if it is neither.
    """
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"{name} is {short(given)}: {_REMEDY}.")
    if match := _DATA.match(given):
        return _write(given[match.end() :], name, folder, quota)
    if given.startswith("data:"):
        raise ValueError(f"{name} is a data: URL without base64: {_REMEDY}.")
    if _SERVED in given:
        return Path(unquote(given.partition(_SERVED)[2].partition("?")[0]))
    if "://" in given:
        raise ValueError(f"{name} is an address elsewhere, and nothing is fetched here: {_REMEDY}.")
    return Path(given)


def _write(text: str, name: str, folder: Path, quota: DiskQuota) -> Path:
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is a data: URL whose base64 is damaged: send it whole.") from None
    if not content:
        raise ValueError(f"{name} is a data: URL of nothing: {_REMEDY}.")
    quota.make(len(content))
    path = folder / name
    path.write_bytes(content)
    return path
