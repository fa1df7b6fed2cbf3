#!/usr/bin/env bash
# pocketsphinx 5.1.1: the first sound that a Decoder hears is heard otherwise than the same sound later. The same int16
# samples with the same words (set_align_text, start_utt, process_raw with full_utt=True, end_utt) give another score
# and another cepstral mean the second time; from then on nothing changes. It is so with cmn="batch" too, which looks at
# nothing but the sound itself. In a forced alignment a phone began at 0.08 s the first time and at 0.05 s the second.
# Whoever keeps tables of alignments, made in parallel or resumed, gets others at every run; a new Decoder for each
# recording gives the same always, for a tenth of a second. The voice here is hibari-tts's. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet pocketsphinx==5.1.1 hibari-tts==0.2.1 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import sys
from pathlib import Path

import numpy as np
import pocketsphinx
from hibari import Hibari
from scipy.signal import resample_poly

MODEL = Path(pocketsphinx.get_model_path()) / "en-us"
speaker = Hibari(threads=1)


def spoken(text):
    sound = resample_poly(speaker(text, seed=0), 16_000, speaker.sample_rate)
    return (20_000 * sound / np.abs(sound).max()).astype(np.int16)


def new_decoder():
    model, words = str(MODEL / "en-us"), str(MODEL / "cmudict-en-us.dict")
    return pocketsphinx.Decoder(hmm=model, dict=words, lm=None, loglevel="FATAL", cmn="batch")


def heard(decoder, sound, text):
    decoder.set_align_text(text)
    decoder.start_utt()
    decoder.process_raw(sound.tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().score, decoder.get_cmn(False)


texts = ["keep the old fire warm", "we saw the moon over the garden", "a poor boy went home"]
sounds = [spoken(text) for text in texts]
for text, sound in zip(texts, sounds):
    new, another = new_decoder(), new_decoder()
    first, same = heard(new, sound, text), heard(another, sound, text)
    second, third = heard(new, sound, text), heard(new, sound, text)
    print(f"{text!r}: score {first[0]} in two new decoders ({first == same}), then {second[0]}, {third[0]}")
    if first != same or first == second or second != third:
        sys.exit("changed")
PY
