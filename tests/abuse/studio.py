"""Makes recordings with the bundled ffmpeg."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from hearing import BASE, SECONDS, Heard, Truth, hear, voice
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image
from recordings import CHANNELS, Recording

FRAME = 0.15
"""Seconds of a coding's longest frame, at the lowest rate."""


class Studio:
    """A folder with the voices and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for rate in (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400,
                     192_000):  # fmt: skip
            for channels in CHANNELS if rate == BASE else ("mono", "stereo"):
                for seed in (0, 1) if channels == "mono" else (0,):
                    self._source(rate, channels, seed)

    def judge(self, number: int, recording: Recording) -> Heard | str:
        """Make a recording and read it: what is heard, or the refusal's sentence."""
        path = self.folder / f"{number}.bin"
        files = [self._file(number, recording, seed) for seed in recording.seeds]
        content = files[0] if recording.change is None else recording.change(files)
        truth = recording.truth
        if recording.share < 1:
            kept = int(recording.share * len(content))
            truth = self._of_cut(path, content, kept)
            content = content[:kept]
        path.write_bytes(content)
        heard = hear(path, truth)
        path.unlink()
        return heard

    def _source(self, rate: int, channels: str, seed: int) -> Path:
        path = self.folder / f"{rate} {channels.replace('.', '-')} {seed}.wav"
        if not path.exists():
            sound = {"v": voice(rate, seed), "i": -voice(rate, seed), ".": np.zeros(len(voice(rate, seed)), "f4")}
            soundfile.write(path, np.stack([sound[kind] for kind in CHANNELS[channels][0]], 1), rate, subtype="FLOAT")
        return path

    def _file(self, number: int, recording: Recording, seed: int) -> bytes:
        path = self.folder / f"{number} whole.bin"
        target = "pipe:1" if recording.is_piped else str(path)
        sound = ["-i", str(self._source(recording.rate, recording.channels, seed))]
        given, picture = self._picture(recording, sound) if recording.picture else (sound, ["-vn"])
        command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *given, *picture, "-strict", "-2"]
        command += ["-c:a", recording.codec, *recording.options, "-f", recording.container, target]
        done = subprocess.run(command, capture_output=True, check=False, timeout=300)
        if done.returncode:
            raise AssertionError(f"{recording.name} cannot be made: {done.stderr.decode()[-300:]}")
        if recording.is_piped:
            return done.stdout
        content = path.read_bytes()
        path.unlink()
        return content

    def _picture(self, recording: Recording, sound: list[str]) -> tuple[list[str], list[str]]:
        """What is given, and what becomes of the picture."""
        maps = ["-map", "0:v", "-map", "1:a", "-c:v"]
        if recording.picture == "cover":
            path = self.folder / "cover.jpeg"
            if not path.exists():
                Image.new("RGB", (64, 64), "teal").save(path)
            return ["-i", str(path), *sound], [*maps, "copy", "-disposition:v", "attached_pic"]
        size = "352x288" if recording.picture == "h263" else "64x64"
        moving = ["-f", "lavfi", "-i", f"color=size={size}:rate=25:duration={SECONDS + 1}"]
        late = ["-itsoffset", f"{abs(recording.late):g}"]
        given = [*moving, *late, *sound] if recording.late > 0 else [*late, *moving, *sound]
        return given, [*maps, recording.picture]

    def _of_cut(self, path: Path, content: bytes, kept: int) -> Truth:
        """What has to be heard of a file that is cut off: by its packets, wherever the rest of its bytes are."""
        path.write_bytes(content)
        command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy"]
        told = subprocess.run([*command, "-f", "framecrc", "pipe:1"], capture_output=True, check=True, text=True).stdout
        lines = [line.replace(",", " ").split() for line in told.splitlines()]
        base = next(line[2] for line in lines if line[0] == "#tb")
        unit = int(base.split("/")[0]) / int(base.split("/")[1])
        lengths = np.array([int(line[3]) for line in lines if line[0] == "0"]) * unit
        sizes = np.cumsum([int(line[4]) for line in lines if line[0] == "0"])
        around = len(content) - sizes[-1]
        return replace(
            Truth(),
            seconds=min(SECONDS, float(lengths[sizes <= kept].sum()) + FRAME),
            least=max(0.0, float(lengths[sizes <= kept - around].sum()) - FRAME),
        )
