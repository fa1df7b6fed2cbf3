#!/usr/bin/env bash
# MediaPipe's face detector (BlazeFace, short range) ends in two outputs, boxes and scores. OpenCV 4.14.0.94 (wheel
# opencv-python-headless) gives both. The new engine of 5.0.0.93 knows only one output of the same file: asking for
# the two by name raises cv2.error, "the number of requested and actual outputs must be the same", 2 and 1. Its
# classic engine (cv2.dnn.ENGINE_CLASSIC) gives both, as before. The network is that of the wheel mediapipe 0.10.21.
# Fails if any of the three has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m pip download --quiet --no-deps --only-binary :all: --dest wheels mediapipe==0.10.21
python3 -m zipfile --extract wheels/mediapipe-0.10.21-*.whl unpacked
cat > look.py <<'PY'
import sys

import cv2
import numpy as np

path, classic = sys.argv[1], sys.argv[2] == "classic"
net = cv2.dnn.readNetFromTFLite(path, cv2.dnn.ENGINE_CLASSIC) if classic else cv2.dnn.readNetFromTFLite(path)
net.setInput(np.zeros((1, 3, 128, 128), np.float32))
try:
    print([np.shape(each) for each in net.forward(["regressors", "classificators"])])
except cv2.error as error:
    print("cv2.error: requested and actual outputs differ" if "requested and actual outputs" in str(error) else error)
PY

ask() { # version, engine
    [ -d "env-$1" ] || { python3 -m venv "env-$1" && "env-$1/bin/pip" install --quiet "opencv-python-headless==$1" numpy==2.4.6; }
    "env-$1/bin/python" look.py unpacked/mediapipe/modules/face_detection/face_detection_short_range.tflite "$2" 2>/dev/null
}

expect() { # what was asked, answer, seen before
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "changed; seen before: $3" >&2; exit 1; }
}

both="[(1, 896, 16), (1, 896, 1)]"
expect "4.14.0.94" "$(ask 4.14.0.94 default)" "$both"
expect "5.0.0.93, new engine" "$(ask 5.0.0.93 default)" "cv2.error: requested and actual outputs differ"
expect "5.0.0.93, classic engine" "$(ask 5.0.0.93 classic)" "$both"
