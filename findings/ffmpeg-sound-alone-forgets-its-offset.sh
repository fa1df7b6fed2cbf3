#!/usr/bin/env bash
# ffmpeg n9.0.2-17-g2a571b6068 (wheel imageio-ffmpeg 0.8.1): a film's sound begins half a second after its picture. With
# both in the output its first sample is at 0.5 s. With the sound alone, by `-vn` or `-map 0:a`, it is still there when
# the film is MP4 or Matroska, but at 0 s when it is MPEG-TS, MPEG-PS or Ogg: for these formats ffmpeg counts from the
# start of the streams that are used. The documentation of `-vn` and of the start time does not say so, only the log
# at `-v verbose` ("Correcting start time of Input #0"). Who takes sound and picture out of a film by two commands gets
# them out of step. With `-copyts` the time is kept, and the file's own start has to be taken off it.
# Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet imageio-ffmpeg==0.8.1
env/bin/python - <<'PY'
import re
import subprocess
import sys

from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version


def ffmpeg(*arguments):
    return subprocess.run([get_ffmpeg_exe(), *arguments], capture_output=True, text=True, check=True).stderr


def begin(path, *options):
    """Seconds of the sound's first sample; and of the file's start, as it says itself."""
    told = ffmpeg("-i", path, *options, "-af", "ashowinfo", "-f", "null", "-")
    return float(re.search(r" n:0 pts:\d+ pts_time:([\d.]+)", told)[1]), float(re.search(r"start: ([\d.]+)", told)[1])


print("ffmpeg", get_ffmpeg_version())
kept = True
for kind, video, audio, is_forgotten in (
    ("mp4", "mpeg4", "aac", False),
    ("mkv", "mpeg4", "aac", False),
    ("ts", "mpeg2video", "mp2", True),
    ("mpg", "mpeg2video", "mp2", True),
    ("ogg", "libtheora", "libvorbis", True),
):
    path = f"film.{kind}"
    picture = ("-f", "lavfi", "-i", "color=s=64x64:r=25:d=2")
    sound = ("-itsoffset", "0.5", "-f", "lavfi", "-i", "sine=f=300:r=48000:d=1.5")
    ffmpeg(*picture, *sound, "-c:v", video, "-c:a", audio, path)
    (both, _), (alone, _), (mapped, _) = begin(path), begin(path, "-vn"), begin(path, "-map", "0:a")
    time, start = begin(path, "-vn", "-copyts")
    print(f"{kind}: with the picture {both:.3f} s, -vn {alone:.3f} s, -map 0:a {mapped:.3f} s,", end=" ")
    print(f"-vn -copyts {time:.3f} s less {start:.3f} s")
    kept = kept and 0.47 < both < 0.51 and alone == mapped and abs(time - start - both) < 0.002
    kept = kept and (alone < 0.01 if is_forgotten else alone == both)
sys.exit(0 if kept else "changed")
PY
