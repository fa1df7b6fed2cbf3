"""Pictures and sounds in, videos out, and speech: everything is tried, not only looked for. Ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from humo.doctor.finding import Finding, fails, note, ok
from humo.system.caches import user_cache
from humo.timing import SAMPLE_RATE

WORDS = "This is a test."
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def ffmpeg() -> Iterator[Finding]:
    """Which ffmpeg there is, and whether it writes our videos and reads their sound back."""
    from imageio_ffmpeg import get_ffmpeg_exe

    program = get_ffmpeg_exe()
    told = subprocess.run([program, "-hide_banner", "-version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"ffmpeg version (\S+)", told)
    yield ok("ffmpeg", f"{version[1] if version else 'of unknown version'}, {program}")
    yield from _written_and_read()


def _written_and_read() -> Iterator[Finding]:
    from humo.media import read_sound, write_video

    frames = np.linspace(0, 255, 5 * 64 * 64 * 3, dtype=np.uint8).reshape(5, 64, 64, 3)
    tone = (0.3 * np.sin(np.arange(SAMPLE_RATE // 5) * 0.1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for is_lossless, what in ((False, "H.264 with AAC"), (True, "H.264 without loss")):
            path = Path(folder) / f"{is_lossless}.mp4"
            write_video(path, frames, audio=(tone, SAMPLE_RATE), lossless=is_lossless)
            heard = read_sound(path)
            if float(np.abs(heard.waveform).max()) > 0.1:
                yield ok("video", f"{what} is written, and its sound read back")
            else:
                yield fails("video", f"{what} comes back silent", "reinstall imageio-ffmpeg")


def pictures() -> Iterator[Finding]:
    """Photographs of telephones, and letters in pictures."""
    from PIL import ImageFont, features

    if find_spec("pi_heif") is None:
        yield note("HEIC", "pictures of iPhones cannot be read", "pip install pi-heif")
    else:
        yield ok("HEIC", "pictures of iPhones are read")
    if features.check("freetype2"):
        yield ok("fonts", f"{' '.join(map(str, ImageFont.load_default(12).getname()))}, which Pillow brings")  # type: ignore[union-attr]  # of FreeType
    else:
        yield fails("fonts", "this Pillow is built without FreeType and writes no letters", "pip install pillow")


def pauses() -> Iterator[Finding]:
    """Whether speech is told from silence."""
    from humo.media.voice_activity import find_speech

    found = find_speech(np.zeros(SAMPLE_RATE, np.float32))
    if found:
        yield fails("pauses", "speech is found in silence", "reinstall silero-vad and onnxruntime")
    else:
        yield ok("pauses", "the detector of speech runs")


def speech() -> Iterator[Finding]:
    """The voices for what is typed, and the aligner of other voices."""
    from humo.space.page.speakers import ESPEAK, HIBARI, offered

    for engine in (HIBARI, ESPEAK):
        if not engine.is_installed():
            yield note(engine.package, "is not installed", f"pip install {engine.package} ({engine.licence})")
        elif _speaks(engine.name):
            yield ok(engine.package, "speaks")
        else:
            yield fails(engine.package, "is silent", f"reinstall {engine.package}")
    yield ok("voices", f"{len(offered())} to type for on the page")
    if find_spec("pocketsphinx") is None:
        yield note(
            "pocketsphinx",
            "is not installed, `evaluate --voices` and `train voices` need it",
            "pip install pocketsphinx",
        )
    else:
        from humo.world.alignment import unknown_words

        unknown_words(WORDS)
        yield ok("pocketsphinx", "finds the phones of English voices")


def _speaks(engine: str) -> bool:
    from humo.world.hibari import speak_english
    from humo.world.speech import speak

    waveform = speak_english(WORDS) if engine == "hibari" else speak(WORDS).waveform
    return bool(len(waveform) and np.abs(waveform).max() > 0.01)


def browser() -> Iterator[Finding]:
    """Chromium, which only tests need."""
    from matplotlib.font_manager import findSystemFonts

    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not findSystemFonts():
        yield note("Chromium", "would have no fonts, which only tests need", "apt-get install fonts-dejavu")
    elif program:
        yield ok("Chromium", f"{program}, for tests of the page")
    elif _playwright_has_one():
        yield ok("Chromium", "Playwright's own, for tests of the page")
    else:
        yield note("Chromium", "is not here, which only tests need", "apt-get install chromium fonts-dejavu")


def _playwright_has_one() -> bool:
    kept = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or user_cache() / "ms-playwright")
    return any(kept.glob("chromium*"))
