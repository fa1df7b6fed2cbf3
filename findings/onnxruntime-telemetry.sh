#!/usr/bin/env bash
# onnxruntime 1.32.0 from PyPI has telemetry switched on for Linux too: `import onnxruntime` alone writes a lasting
# number of this computer and a database of what is still to be sent into the user's cache, without a word on the
# terminal. Its library holds the address that it reports to. ORT_DISABLE_TELEMETRY=1, set before the import, keeps it
# from all of it (documented in the package's Privacy.md). hibari-tts 0.2.1 brings onnxruntime along. Fails if that has
# changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet onnxruntime==1.32.0
written() { # what an import leaves in an empty cache
    mkdir "$work/$1"
    XDG_CACHE_HOME="$work/$1" env/bin/python -c "import onnxruntime"
    find "$work/$1" -type f -printf '%P\n' | sort
}
unset ORT_DISABLE_TELEMETRY
usual=$(written usual)
quiet=$(ORT_DISABLE_TELEMETRY=1 written quiet)
printf 'as it is:\n%s\nwith ORT_DISABLE_TELEMETRY=1:\n%s\n' "$usual" "$quiet"
[[ $usual == *deviceid*onnxruntime.db* ]] || { echo changed; exit 1; }
[[ -z $quiet ]] || { echo changed; exit 1; }
grep -qa "OneCollector" env/lib/python3*/site-packages/onnxruntime/capi/*.so* || { echo changed; exit 1; }
