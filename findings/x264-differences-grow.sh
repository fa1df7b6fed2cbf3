#!/usr/bin/env bash
# libx264 in imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), films of soft colours with a little grain: two films of which one has
# every tenth value a level higher, 0.1 levels of 255 on average, differ by 1.3 levels on average when they come back
# from H.264, although the same film coded twice comes back the same to the bit. Which blocks keep their grain turns on
# next to nothing. Whoever compares two computations through their video files needs a bound of more than that.
# Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet imageio-ffmpeg==0.8.1 numpy==2.4.6
env/bin/python - <<'PY'
import subprocess
import sys

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version

SIDE, FRAMES = 256, 8
rng = np.random.default_rng(0)
coarse = rng.uniform(40, 210, (FRAMES, 9, 9, 3))  # soft clouds that change, as painted pictures have
x = np.linspace(0, 8, SIDE)
low, part = np.minimum(x.astype(int), 7), x - np.minimum(x.astype(int), 7)
rows = coarse[:, low] * (1 - part)[:, None, None] + coarse[:, low + 1] * part[:, None, None]
film = (rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]).round()
film += rng.normal(0, 1.5, film.shape)
one = film.clip(0, 255).astype(np.uint8)
touched = rng.random(one.shape) < 0.1
other = np.where(touched, one + np.where(one < 255, 1, 0), one).astype(np.uint8)


def coded(frames):
    size, tool = f"{SIDE}x{SIDE}", get_ffmpeg_exe()
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    given = [*raw, "-video_size", size, "-framerate", "25", "-i", "-"]
    kept = ["-c:v", "libx264", "-preset", "superfast", "-crf", "18", "-pix_fmt", "yuv420p", "-f", "matroska", "-"]
    file = subprocess.run([tool, "-v", "error", *given, *kept], input=frames.tobytes(), capture_output=True, check=True)
    back = [tool, "-v", "error", "-i", "-", *raw, "-"]
    return np.frombuffer(subprocess.run(back, input=file.stdout, capture_output=True, check=True).stdout, np.uint8)


before = np.abs(one.astype(int) - other).mean()
after = np.abs(coded(one).astype(int) - coded(other)).mean()
again = np.abs(coded(one).astype(int) - coded(one)).mean()
print(f"{get_ffmpeg_version()}: {before:.2f} levels apart as given, {after:.2f} as coded, {again:.2f} coded twice")
sys.exit(0 if before < 0.11 and after > 1 and again == 0 else "changed")
PY
