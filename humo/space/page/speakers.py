"""The page's speakers by plain name: which package speaks each, and what it can do.

Both packages are optional. hibari-tts (Apache-2.0) has one American woman and comes with the requirements; espeak-ng, a
separate program under the GPL-3 in the wheel espeakng-loader, has many voices and languages and is an extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

OWN_PITCH = 50


@dataclass(frozen=True, slots=True)
class Engine:
    """What speaks: a package and its limits."""

    name: str
    module: str
    """What is imported."""
    package: str
    """What is installed."""
    licence: str
    rates: tuple[int, int]
    """Lowest and highest words a minute."""
    pitches: tuple[int, int]
    """Lowest and highest pitch; 50 is the voice's own."""
    is_english: bool
    """Whether it reads English only."""

    def is_installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.module) is not None


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker."""

    engine: Engine
    code: str
    """The engine's own name for it."""


HIBARI = Engine("hibari", "hibari", "hibari-tts", "Apache-2.0", (80, 320), (OWN_PITCH, OWN_PITCH), True)
ESPEAK = Engine("espeak", "espeakng_loader", "espeakng-loader", "GPL-3", (80, 449), (0, 99), False)
ENGINES = (HIBARI, ESPEAK)

_ENGLISH = {"American English": "en-us", "British English": "en-gb-x-rp"}
_OTHERS = {"German": "de", "French": "fr", "Spanish": "es", "Italian": "it", "Portuguese": "pt-br", "Dutch": "nl",
           "Polish": "pl", "Swedish": "sv"}  # fmt: skip
_VARIANTS = {"woman": ("f1", "f2", "f3", "f4", "f5"), "man": ("m1", "m2", "m3", "m4", "m5", "m6", "m7")}


def _espeak_voices(languages: dict[str, str], most: int) -> dict[str, Voice]:
    return {
        f"{language}, {who} {number}": Voice(ESPEAK, f"{code}+{variant}")
        for language, code in languages.items()
        for who, variants in _VARIANTS.items()
        for number, variant in enumerate(variants[:most], start=1)
    }


VOICES = (
    {"American English, natural woman": Voice(HIBARI, "heart")}
    | _espeak_voices(_ENGLISH, most=7)
    | _espeak_voices(_OTHERS, most=3)
)
"""Voice by plain name. Mini learned from the English ones; it follows a sound in any language."""


def offered() -> list[str]:
    """Names of the voices whose package is installed."""
    installed = {engine.name for engine in ENGINES if engine.is_installed()}
    return [name for name, voice in VOICES.items() if voice.engine.name in installed]
