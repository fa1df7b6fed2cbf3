"""Importing large libraries without walking, again and again, over all that they have brought; and asking for one.

Python's garbage collector looks through every living object whenever their number has grown by a quarter. While
hundreds of thousands of functions and classes are imported, that takes a fifth of the time and finds next to nothing;
what it does find is young. So only young objects are looked through for as long as something is imported. Ours.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

_YOUNG, _NEVER = 30_000, 1_000_000
"""New objects before the young ones are looked through; rounds before all are."""
_DISTRIBUTIONS = {
    "espeakng_loader": "espeakng-loader",
    "hibari": "hibari-tts",
    "silero_vad": "silero-vad",
    "ray": '"ray[serve]"',
}
"""What is installed to import a module, where it is called otherwise."""
_lock = threading.Lock()
_usual: list[tuple[int, int, int]] = []
"""The thresholds from before, once for each thread that imports now."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Within the block the collector leaves old objects alone; several threads may be in one at once."""
    with _lock:
        _usual.append(_usual[0] if _usual else gc.get_threshold())
        if _usual[0][0]:  # 0 is never
            gc.set_threshold(_YOUNG, _usual[0][1], _NEVER)
    try:
        yield
    finally:
        with _lock:
            usual = _usual.pop()
            if not _usual:
                gc.set_threshold(*usual)


def require(what: str, *modules: str) -> None:
    """Refuse, before any work, what needs a package that is not there.

    Args:
        what: as the subject of a sentence with "needs", such as "speech".
        modules: as they are imported; none of them is.

    Raises:
        ValueError: if some cannot be found; the sentence says what to install.
    """
    missing = [_DISTRIBUTIONS.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        packages = "package" if len(missing) == 1 else "packages"
        raise ValueError(f"{what} needs the {packages} {' and '.join(missing)}: pip install {' '.join(missing)}")
