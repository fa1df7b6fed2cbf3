#!/usr/bin/env bash
# moviepy 2.2.1 gives the samples of a sound with other than two channels in a wrong shape as soon as it is longer than
# 50,000 samples: `AudioClip.to_soundarray` puts its pieces side by side (numpy.hstack) unless there are exactly two
# channels. A mono `AudioArrayClip` of 2 s at 48 kHz comes back as (48000, 2) in place of (96000, 1), and
# `AudioArrayClip` itself answers with two channels while it says that it has one, so that an mp4 of it lasts twice as
# long. Two channels are right. Also: `ImageSequenceClip` finds its pictures by comparing sums of 1/fps with the
# time, and of 97 at 25 a second some come twice and others never. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet moviepy==2.2.1 numpy==2.4.6
env/bin/python - <<'PY'
import re
import subprocess
import sys

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from moviepy import AudioClip, ColorClip, ImageSequenceClip
from moviepy.audio.AudioClip import AudioArrayClip

rate = 48_000
tone = 0.3 * np.sin(np.arange(2 * rate) * 0.05)
plain = AudioClip(lambda t: tone[np.rint(rate * np.asarray(t)).astype(int), None], duration=2, fps=rate)
shape = plain.to_soundarray(fps=rate).shape
print(f"mono: {shape} in place of ({len(tone)}, 1)")

mono = AudioArrayClip(tone[:, None], fps=rate)
ColorClip((64, 64), color=(0, 0, 0), duration=2).with_fps(25).with_audio(mono).write_videofile(
    "mono.mp4", audio_codec="aac", audio_fps=rate, logger=None
)
told = subprocess.run([get_ffmpeg_exe(), "-i", "mono.mp4"], capture_output=True, text=True).stderr
length = re.search(r"Duration: ([\d:.]+)", told)[1]
print(f"AudioArrayClip of 2 s: the mp4 lasts {length}")

frames = np.arange(97, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3)
shown = [int(frame[0, 0, 0]) for frame in ImageSequenceClip(list(frames), fps=25).iter_frames()]
print(f"ImageSequenceClip: {sum(a != b for a, b in zip(shown, range(97)))} of 97 frames are another")
sys.exit(0 if shape != (len(tone), 1) and length.startswith("00:00:04") and shown != [*range(97)] else "changed")
PY
