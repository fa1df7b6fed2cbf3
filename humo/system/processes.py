"""Worker processes that end with whoever started them, and how many work side by side. Ours."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def follow_parent() -> None:
    """Initializer of a pool: the worker ends when its parent does, even one that was killed and could not say so."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def local_processes() -> int:
    """Processes of this computer that torchrun started together; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(0)
