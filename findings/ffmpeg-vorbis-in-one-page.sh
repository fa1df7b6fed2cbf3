#!/usr/bin/env bash
# ffmpeg n9.0.2-17-g2a571b6068 (wheel imageio-ffmpeg 0.8.1) gives a wrong length for Ogg Vorbis whose sound fits into a
# single Ogg page, as four seconds of a tone at 8 kHz do. That page is the first and the last; libvorbis cuts off its
# end what goes beyond the page's position, ffmpeg takes it for a late beginning. Of 4,096 or 32,000 samples at 8 kHz
# the last 256 (32 ms) are lost, of 24,000 at 48 kHz the last 128; 4,000 come back as 4,096. The first sample is the
# right one, but its time is 256 samples late (128 at 48 kHz). So it is with files of libsndfile 1.2.2 (wheel soundfile
# 0.14.0), which reads them exactly, and with ffmpeg's own of half a second. With more pages all is exact.
# Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
env/bin/python - <<'PY'
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version


def ffmpeg(*arguments):
    return subprocess.run([get_ffmpeg_exe(), *arguments], capture_output=True, check=True)


def look(path):
    """Pages of sound (two are the headers'), samples as libsndfile and as ffmpeg has them, time of the first one."""
    true, _ = soundfile.read(path, dtype="float32")
    told = ffmpeg("-i", path, "-af", "ashowinfo", "-f", "f32le", "-")
    heard = np.frombuffer(told.stdout, np.float32)
    shared = min(len(true), len(heard))
    assert np.abs(true[:shared] - heard[:shared]).max() < 1e-3
    first = int(re.search(rb" n:0 pts:(\d+)", told.stderr)[1])
    return Path(path).read_bytes().count(b"OggS") - 2, len(true), len(heard), first


print("ffmpeg", get_ffmpeg_version(), "libsndfile", soundfile.__libsndfile_version__)
before = {4000: (4096, 256), 4096: (3840, 256), 32_000: (31_744, 256), 24_000: (23_872, 128)}
"""Samples of a single page: as many as ffmpeg has, and where they begin."""
kept, single = True, 0
for rate, length in ((8000, 4000), (8000, 4096), (8000, 32_000), (48_000, 24_000), (8000, 160_000)):
    sound = 0.3 * np.sin(np.arange(length) / rate * 2 * np.pi * 300)
    soundfile.write("sound.wav", sound, rate)
    soundfile.write("sndfile.ogg", sound, rate, subtype="VORBIS")
    ffmpeg("-y", "-i", "sound.wav", "-c:a", "libvorbis", "ffmpeg.ogg")
    for path in ("sndfile.ogg", "ffmpeg.ogg"):
        pages, true, heard, first = look(path)
        print(f"{path}, {rate} Hz, pages {pages}: {true} samples, by ffmpeg {heard}, the first at {first}")
        kept = kept and true == length and (heard, first) == (before.get(length) if pages == 1 else (length, 0))
        single += pages == 1
sys.exit(0 if kept and single == 7 else "changed")
PY
