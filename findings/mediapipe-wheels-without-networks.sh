#!/usr/bin/env bash
# Wheels of mediapipe up to 0.10.21 carry the networks of its face pipeline (face_detection_short_range.tflite,
# face_landmark.tflite, selfie_segmentation.tflite, 1.7 MB together) under mediapipe/modules; those of 0.10.30 and 1.2.3
# carry no .tflite file at all, so a program that finds them in the installed package stops working after an update.
# Only looks into the wheels for CPython 3.11 on Linux; installs nothing. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

networks() { # version
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --dest "$1" "mediapipe==$1"
    python3 -m zipfile --list "$1"/mediapipe-*.whl | grep -c '\.tflite' || true
}

for pair in 0.10.21:some 0.10.30:none 1.2.3:none; do
    version=${pair%:*}
    count=$(networks "$version")
    echo "mediapipe $version: $count networks in the wheel"
    if [ "$count" -gt 0 ]; then found=some; else found=none; fi
    [ "$found" = "${pair#*:}" ] || { echo "changed; seen before: ${pair#*:}" >&2; exit 1; }
done
