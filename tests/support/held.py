"""A page that waits where a test wants it to: its ffmpeg begins only when it may, however fast the machine is."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from imageio_ffmpeg import get_ffmpeg_exe


class HeldFfmpeg:
    """An ffmpeg for a page of its own: while it is held, no sound is read and no video written.

    Attributes:
        settings: variables with which the page takes it.
    """

    def __init__(self, folder: Path) -> None:
        """Write the command; it is not held yet.

        Args:
            folder: for the command; existing.
        """
        command, self._hold = folder / "ffmpeg", folder / "hold"
        waits = f"while [ -e {quote(str(self._hold))} ]; do sleep 0.05; done"
        command.write_text(f'#!/bin/sh\n{waits}\nexec {quote(get_ffmpeg_exe())} "$@"\n')
        command.chmod(0o755)
        self.settings = {"IMAGEIO_FFMPEG_EXE": str(command)}

    def hold(self) -> None:
        """Let whoever begins from now on wait."""
        self._hold.touch()

    def release(self) -> None:
        """Let all go on."""
        self._hold.unlink(missing_ok=True)
