"""What is compared: the paper's recipe and one change at a time, and what the paper claims of each change.

All start from one text-to-video model (the stand-in for Wan2.1) and learn for equally many steps on the same clips.
Shares of steps, scales and learning rates are ours; the order of stages, what learns in them, the curriculum and the
focus loss are the paper's. `CAVEATS` are what must be known when reading the results.

Source: HuMo (arXiv 2509.08519) sec. 3.2-3.4 and its ablation table (17B, MoCha): without focus-by-predicting Sync-C
6.252 -> 5.946 and ID-Cur .747 -> .730; without progressive training Sync-C 6.106, ID-Cur .724, TVA 6.375; full
fine-tune TVA 6.508 -> 6.157 and AES .589 -> .529.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from humo.training.transformer.stages import Stage

Change = Literal["none", "references_first", "hard_gate"]

_LENGTHS = (1, 2, 3, 5, 9, 13)
"""Lengths of the clips in latent frames, the same in all stages, so that no variant sees more of the long ones."""
BASE = (Stage(name="text", end=1.0, learns="all_but_audio", image_share=0.0, latent_frames=_LENGTHS),)
"""The common start: text to video. Sound would be silence, and an offset learned from silence would be thrown away."""
_REFERENCES = Stage(name="references", end=0.25, learns="self_attention", image_share=0.8, latent_frames=_LENGTHS)
_SOUND = Stage(
    name="sound",
    end=1.0,
    learns="self_attention+audio",
    image_share=0.8,
    audio_start=0.2,
    audio_end=0.5,
    ramp=0.5,
    focus=True,
    latent_frames=_LENGTHS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One way to train."""

    name: str
    """Key of its results."""
    what: str
    """What differs from the paper's recipe."""
    stages: tuple[Stage, ...] = (_REFERENCES, _SOUND)
    """Stages after the common start."""
    focus_weight: float = 0.05
    """Weight of eq. 3 in the loss (ours; the paper does not publish it)."""
    change: Change = "none"
    """What is changed in the running model (`humo.evaluation.ablation.changes`)."""


_EVEN = replace(_SOUND, audio_start=0.5)
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(name="full", what="the paper's recipe"),
        Variant(name="no_focus", what="no focus-by-predicting: the mask predictor teaches nothing", focus_weight=0.0),
        Variant(
            name="no_progressive",
            what="no stages: all conditions from the first step, sound in half of the samples",
            stages=(_EVEN,),
        ),
        Variant(
            name="full_finetune",
            what="everything learns in place of self-attention alone",
            stages=tuple(replace(stage, learns="all") for stage in (_REFERENCES, _SOUND)),
        ),
        Variant(name="references_first", what="the reference before the video", change="references_first"),
        Variant(
            name="hard_gate",
            what="sound passes at the face alone, and the mask teaches the transformer nothing",
            change="hard_gate",
        ),
    )
}
"""Trainings by name."""

_TEXT_HEAVY, _IMAGE_HEAVY = (4.5, 2.0, 2.0), (2.0, 3.5, 3.0)
_MIDDLE = tuple((one + other) / 2 for one, other in zip(_TEXT_HEAVY, _IMAGE_HEAVY, strict=True))
_NAMES = ("text", "image", "audio")
RULES: dict[str, dict[str, Any]] = {
    "adaptive": {
        "rule": "paper",
        **dict(zip(_NAMES, _IMAGE_HEAVY, strict=True)),
        "early": list(_TEXT_HEAVY),
        "switch": 900.0,
    },
    "constant": {"rule": "constant", **dict(zip(_NAMES, _MIDDLE, strict=True))},
    "text_heavy": {"rule": "constant", **dict(zip(_NAMES, _TEXT_HEAVY, strict=True))},
    "image_heavy": {"rule": "constant", **dict(zip(_NAMES, _IMAGE_HEAVY, strict=True))},
}
"""Guidance compared on the weights of `full`: time-adaptive takes A and then B, constant the middle of both."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the paper says of a part: that `better` has more (or less) of a figure than `worse`."""

    text: str
    better: str
    worse: str
    figure: str
    is_higher_better: bool = True
    is_measured: bool = True
    """Whether the paper's ablation table has figures for it; otherwise it argues."""


_argued = partial(Claim, is_measured=False)
CLAIMS = (
    Claim("Focus-by-predicting improves lip sync.", "full", "no_focus", "sync"),
    Claim("Focus-by-predicting helps identity.", "full", "no_focus", "identity"),
    Claim("Progressive training improves lip sync.", "full", "no_progressive", "sync"),
    Claim("Progressive training helps identity.", "full", "no_progressive", "identity"),
    Claim("Progressive training helps to follow the text.", "full", "no_progressive", "text"),
    Claim("Self-attention alone keeps what text could do.", "full", "full_finetune", "text"),
    Claim("Self-attention alone keeps picture quality.", "full", "full_finetune", "frechet", False),
    _argued("The reference belongs after the video: the text is followed.", "full", "references_first", "text"),
    _argued("The reference belongs after the video: identity is kept.", "full", "references_first", "identity"),
    _argued("A soft teacher is better than a hard gate for lip sync.", "full", "hard_gate", "sync"),
    _argued("Time-adaptive guidance follows the text better than constant.", "adaptive", "constant", "text"),
    _argued("Time-adaptive guidance keeps identity better than text-heavy.", "adaptive", "text_heavy", "identity"),
    _argued("Time-adaptive guidance keeps lip sync better than text-heavy.", "adaptive", "text_heavy", "sync"),
    _argued("Time-adaptive guidance follows the text better than image-heavy.", "adaptive", "image_heavy", "text"),
)
"""The paper's claims in these figures; `adaptive` is measured on the weights of `full`."""

CAVEATS = (
    "Trainings are short: a mouth that merely followed the loudness would have the lip sync of the column "
    "`sync_loudness`, and the mouth's width, which loudness does not tell, is hardly followed by any variant.",
    "`no_progressive` hears sound in half of all samples from the first step, `full` in a third of them: what it gains "
    "in lip sync may be no more than that.",
    "A start from mini has feed-forward layers and text attention that once learned beside references, sound and the "
    "focus loss. That favours whoever keeps them frozen, `full` before `full_finetune`.",
    "Intervals are of the seeds, hold 95 % each and are not corrected for their number, so that of fourteen claims one "
    "may well be wrongly decided: a difference of a hundredth says little. All variants share one common start. "
    "Identity counts the half of the videos whose caption leaves the person to the picture.",
)
"""What must be known when reading the results."""
