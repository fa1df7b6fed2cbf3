#!/usr/bin/env bash
# ffmpeg n9.0.2-17-g2a571b6068 (wheel imageio-ffmpeg 0.8.1) loses the end of Apple Lossless sound in a CAF file. The
# last packet is short and says itself how many samples it has; the packet table names the rest, up to 4,096, as
# remainder. ffmpeg cuts the remainder off a packet that is short already: of one with n samples, 2,048 to 4,095, the
# last 4,096 - n are lost, up to 43 ms at 48 kHz; with fewer samples nothing is. So it is with files of libsndfile 1.2.2
# (wheel soundfile 0.14.0), which reads them whole, and with its own, so that a lossless copy is shorter. In M4A all is
# there. With `-flags2 +skip_manual` before the input nothing is cut. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet imageio-ffmpeg==0.8.1 soundfile==0.14.0 numpy==2.4.6
env/bin/python - <<'PY'
import subprocess
import sys

import numpy as np
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version

PACKET = 4096


def ffmpeg(*arguments):
    return subprocess.run([get_ffmpeg_exe(), "-v", "error", *arguments], capture_output=True, check=True).stdout


def lost(path, *options):
    """Samples at the end; all others are as they were."""
    heard = np.frombuffer(ffmpeg(*options, "-i", path, "-f", "s16le", "-"), np.int16)
    assert (heard == sound[: len(heard)]).all()
    return len(sound) - len(heard)


print("ffmpeg", get_ffmpeg_version(), "libsndfile", soundfile.__libsndfile_version__)
kept = True
for last in (1, 2047, 2048, 3000, 4095):
    sound = (3000 * np.random.default_rng(0).standard_normal(3 * PACKET + last)).astype(np.int16)
    soundfile.write("sound.wav", sound, 48_000)
    soundfile.write("sndfile.caf", sound, 48_000, format="CAF", subtype="ALAC_16")
    for path in ("ffmpeg.caf", "ffmpeg.m4a"):
        ffmpeg("-y", "-i", "sound.wav", "-c:a", "alac", path)
    paths = ("sndfile.caf", "ffmpeg.caf", "ffmpeg.m4a")
    results = [lost(path) for path in paths]
    uncut = [lost(path, "-flags2", "+skip_manual") for path in paths]
    whole = len(soundfile.read("sndfile.caf")[0]) == len(sound)
    print(f"{last} samples in the last packet: lost {dict(zip(paths, results))}, with skip_manual {uncut}", end="; ")
    print("libsndfile reads its own whole" if whole else "libsndfile does not read its own whole")
    cut = PACKET - last if last >= PACKET // 2 else 0
    kept = kept and results == [cut, cut, 0] and uncut == [0, 0, 0] and whole
sys.exit(0 if kept else "changed")
PY
