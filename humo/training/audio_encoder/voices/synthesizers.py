"""Other synthesisers than espeak-ng, which say a sentence for the training; none of them is needed by anything else.

hibari is a package (`humo.world.hibari`); flite and festival are programs, with their free voices (Debian: flite
festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts). What is missing is left out. Ours.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from humo.timing import SAMPLE_RATE
from humo.world.hibari import PACE, speak_english

HIBARI = "hibari"
_FLITE = {"slt": 180, "rms": 100, "awb": 130, "kal16": 100}
"""Voices and the pitch, Hz, around which they speak."""
_FESTIVAL = ("ked_diphone", "kal_diphone", "cmu_us_slt_arctic_hts")
_TIMEOUT = 60
"""Seconds after which a program is given up."""


def available_voices() -> list[str]:
    """Names for `say`: "hibari", "flite slt", "festival ked_diphone" and so on, as far as they are installed."""
    voices = [HIBARI] if find_spec("hibari") else []
    if shutil.which("flite"):
        voices += [f"flite {name}" for name in _FLITE]
    if shutil.which("text2wave"):
        installed = {folder.name for folder in Path("/usr/share/festival/voices").glob("*/*")}
        voices += [f"festival {name}" for name in _FESTIVAL if name in installed]
    return voices


def say(text: str, voice: str, rng: np.random.Generator) -> np.ndarray:
    """Says a sentence at a pace, and where the voice allows it at a pitch, drawn by chance.

    Args:
        text: what to say.
        voice: one of `available_voices`.
        rng: the source of chance.

    Returns:
        float32 mono at 16 kHz.

    Raises:
        ValueError: if the voice is not there or fails.
    """
    program, _, name = voice.partition(" ")
    slower = float(rng.uniform(0.8, 1.2))
    if program == HIBARI:
        return speak_english(text, round(PACE / slower), int(rng.integers(2**31)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        if program == "flite" and name in _FLITE:
            pitch = _FLITE[name] * rng.uniform(0.8, 1.3)
            options = ("--setf", f"duration_stretch={slower:.3f}", "--setf", f"int_f0_target_mean={pitch:.1f}")
            command = ["flite", "-voice", name, *options, "-t", text, "-o", str(path)]
        elif program == "festival" and name in _FESTIVAL:
            setting = f"(begin (voice_{name}) (Parameter.set 'Duration_Stretch {slower:.3f}))"
            command = ["text2wave", "-eval", setting, "-o", str(path)]
        else:
            raise ValueError(f"voice is {voice!r}: use one of {', '.join(available_voices())}.")
        try:
            subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=_TIMEOUT)
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
            raise ValueError(f"{voice} could not say {text!r}: {error}") from error
    return _resample(samples.mean(1), rate)


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    divisor = gcd(SAMPLE_RATE, rate)
    return resample_poly(samples, SAMPLE_RATE // divisor, rate // divisor).astype(np.float32)
