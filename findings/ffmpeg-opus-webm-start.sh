#!/usr/bin/env bash
# ffmpeg n9.0.2-17-g2a571b6068 (wheel imageio-ffmpeg 0.8.1) reads a wrong start time from WebM and Matroska files of
# Opus that were encoded from less than 48 kHz, its own among them. Opus begins with 312 samples at 48 kHz to be skipped
# (6.5 ms); the file says so rightly in CodecDelay, and in SamplingFrequency, as Matroska wants it, the rate before the
# encoding. ffmpeg skips rightly, but counts the 312 samples in that rate for the start: 0.032 s in place of 0 from
# 8 kHz, 0.013 s from 16 kHz. As a file's start is made zero, the voice begins at -0.032 s, and whatever holds to the
# times drops its first 32 ms (13 ms): `aresample=first_pts=0`, `atrim=start=0`, or AAC in MP4. As plain WAV or PCM
# nothing is lost; nor beside a picture that begins at 0. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet imageio-ffmpeg==0.8.1 numpy==2.4.6
env/bin/python - <<'PY'
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version

TIMED = ("-af", "aresample=async=1:first_pts=0")


def ffmpeg(*arguments):
    return subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *arguments], capture_output=True, check=True).stdout


def heard(path, *options):
    return np.frombuffer(ffmpeg("-i", path, *options, "-f", "s16le", "-"), np.int16)


def start(path):
    told = subprocess.run([get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr
    return float(re.search(r"start: ([\d.]+)", told)[1])


def milliseconds(samples):
    return round(samples / 48, 3)


def look(path):
    """Start in s; ms lost in front as PCM, by the times, and as AAC in MP4."""
    whole, timed = heard(path), heard(path, *TIMED)
    assert (whole[len(whole) - len(timed) :] == timed).all()
    ffmpeg("-i", path, "-c:a", "aac", "sound.mp4")
    return start(path), *(milliseconds(76_800 - len(each)) for each in (whole, timed, heard("sound.mp4", *TIMED)))


print("ffmpeg", get_ffmpeg_version())
kept = True
for rate, begin in ((8000, 0.032), (16_000, 0.013), (24_000, 0.006), (48_000, 0.0)):
    sound = ("-f", "lavfi", "-i", f"sine=f=300:r={rate}:d=1.6", "-c:a", "libopus")
    ffmpeg(*sound, "sound.webm")
    file = Path("sound.webm").read_bytes()
    delay = int.from_bytes(re.search(rb"\x56\xaa\x83(...)", file, re.DOTALL)[1], "big") / 1e6
    found = look("sound.webm")
    print(f"from {rate} Hz: CodecDelay {delay} ms, start {found[0]} s; lost as PCM {found[1]} ms,", end=" ")
    print(f"by the times {found[2]} ms, as AAC in MP4 {found[3]} ms")
    kept = kept and delay == 6.5 and found == (begin, 0, 1000 * begin, 1000 * begin)

    Path("told.webm").write_bytes(file.replace(struct.pack(">d", rate), struct.pack(">d", 48_000)))
    told = look("told.webm")
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:r=25:d=1.6", *sound, "-c:v", "libvpx", "both.webm")
    beside = start("both.webm"), milliseconds(76_800 - len(heard("both.webm", *TIMED)))
    print(f"  the same with 48000 as SamplingFrequency: {told}; beside a picture: {beside}")
    kept = kept and told == (0, 0, 0, 0) and beside == (0, 0)
sys.exit(0 if kept else "changed")
PY
