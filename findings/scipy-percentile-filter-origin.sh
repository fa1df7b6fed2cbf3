#!/usr/bin/env bash
# scipy 1.17.1: ndimage.percentile_filter (rank_filter, median_filter) of a one-dimensional array that is shorter than
# half the window, with a positive origin, reads memory that is not the array's: the result holds numbers such as
# 1e-309, other ones each time, and no error is raised. Mirroring the array by hand first gives the right values.
# Negative origins are right. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet scipy==1.17.1 numpy==2.4.6
env/bin/python - <<'PY'
import sys

import numpy as np
from scipy.ndimage import percentile_filter

values, size = np.arange(5.0), 51
mirrored = np.pad(values, (size - 1, 0), mode="symmetric")
windows = np.lib.stride_tricks.sliding_window_view(mirrored, size)
expected = np.sort(windows, axis=1)[:, int(0.8 * size)]
found = percentile_filter(values, 80, size, mode="reflect", origin=size // 2)
print("of the values", values, "around each:", found, "and right would be", expected)
sys.exit(0 if not set(found) <= set(values) else "changed")
PY
