"""A kernel for lessons that leaves no trace: the running interpreter, temporary folders, no way out of the machine."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.util import run_sync

_SPEC = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "lesson",
    "language": "python",
}
_OWN_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_QUIET = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Nothing is fetched; and a thread that waits for another sleeps, for where other programs run beside a lesson threads
that spin cost ten times the CPU time (measured)."""


@contextmanager
def kernel(place: Path) -> Iterator[AsyncKernelManager]:
    """Starts a kernel and kills it in the end.

    Args:
        place: the kernel's working folder.

    Yields:
        Its manager, for `nbclient.NotebookClient`.
    """
    with tempfile.TemporaryDirectory(prefix="humo-") as folder:
        spec = Path(folder) / "kernels" / "lesson" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps(_SPEC))
        own, nowhere = dict.fromkeys(_OWN_FOLDERS, folder), dict.fromkeys(_PROXIES, "http://127.0.0.1:9")
        manager = AsyncKernelManager(
            kernel_name="lesson",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(Path(folder) / "kernels")]),
            connection_file=str(Path(folder) / "connection.json"),
            transport="ipc",
            ip=str(Path(folder) / "socket"),
        )
        run_sync(manager.start_kernel)(env={**os.environ, **own, **nowhere, **_QUIET}, cwd=str(place))
        try:
            yield manager
        finally:
            run_sync(manager.shutdown_kernel)(now=True)
