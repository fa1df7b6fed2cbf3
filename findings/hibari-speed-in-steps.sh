#!/usr/bin/env bash
# hibari-tts 0.2.1 takes `speed`, but the length of what it says does not follow 1/speed: it moves in steps. A sentence
# at speed 0.9 lasts hardly longer than at 1.0 (3.63 s and 3.54 s, 3 % where 11 % would be exact), and at 0.8 a fifth
# longer than at 0.9 (4.37 s, where 12.5 % would be exact). Whoever needs a given length, as for a talking video, has to
# measure what comes out. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet hibari-tts==0.2.1 numpy==2.4.6
env/bin/python - <<'PY'
import sys

import numpy as np
from hibari import Hibari

voice = Hibari(threads=1)


def seconds(speed):
    """Of what is heard, without the silence around it."""
    sound = voice("Every morning the old ferry carries twelve people across the river.", speed=speed, seed=0)
    heard = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    return (heard[-1] - heard[0]) / voice.sample_rate


lengths = {speed: seconds(speed) for speed in (0.8, 0.9, 1.0, 1.25, 1.5)}
print({speed: round(float(length), 2) for speed, length in lengths.items()})
near, far = lengths[0.9] / lengths[1.0], lengths[0.8] / lengths[0.9]
print(f"0.9 against 1.0: {near:.3f} (exact: 1.111); 0.8 against 0.9: {far:.3f} (exact: 1.125)")
sys.exit(0 if near < 1.06 and far > 1.15 else "changed")
PY
