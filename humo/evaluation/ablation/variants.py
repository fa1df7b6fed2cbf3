"""What is compared: the paper's recipe and one change at a time, and what the paper claims of each change.

Every question begins from the trained weights with its own parts anew. What sound and its mask predictor do (focus,
hard gate, full fine-tune) begins from weights that can draw people and keep references but have never heard: `silent`.
What the order of stages and of frames does begins from a text-to-video model (the stand-in for Wan2.1), whose
self-attention never met a reference: `text`. Rules of guidance are compared on the trained model itself. Variants of
one start learn for equally many steps on the same clips.
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

Start = Literal["silent", "text"]
Change = Literal["none", "references_first", "hard_gate"]

_LENGTHS = (1, 2, 3, 5, 9, 13)
"""Lengths of the clips in latent frames, the same in all stages, so that no variant sees more of the long ones."""
BASE = (Stage(name="text", end=1.0, learns="all_but_audio", image_share=0.0, latent_frames=_LENGTHS),)
"""The start `text`: text to video. Sound would be silence, and an offset learned from silence would be thrown away."""
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
    start: Start
    """What it begins from."""
    stages: tuple[Stage, ...]
    """Stages after the start."""
    focus_weight: float = 0.05
    """Weight of eq. 3 in the loss (ours; the paper does not publish it)."""
    change: Change = "none"
    """What is changed in the running model (`humo.evaluation.ablation.changes`)."""


_hearing = partial(Variant, start="silent", stages=(_SOUND,))
_drawing = partial(Variant, start="text", stages=(_REFERENCES, _SOUND))
_MEAN_SHARE = 0.75 * ((0.2 + 0.5) / 2 + 0.5) / 2
"""Of the samples of both stages together that hear: all variants of a start hear equally much."""
VARIANTS = {
    variant.name: variant
    for variant in (
        _hearing(name="stage2", what="the paper's second stage"),
        _hearing(name="no_focus", what="no focus-by-predicting: the mask predictor teaches nothing", focus_weight=0.0),
        _hearing(
            name="hard_gate",
            what="sound passes at the face alone, and the mask teaches the transformer nothing",
            change="hard_gate",
        ),
        _hearing(
            name="full_finetune",
            what="everything learns in place of self-attention and sound alone",
            stages=(replace(_SOUND, learns="all"),),
        ),
        _drawing(name="full", what="both stages of the paper"),
        _drawing(
            name="no_progressive",
            what="no stages: all conditions from the first step, sound in as many samples all in all",
            stages=(replace(_SOUND, audio_start=_MEAN_SHARE, audio_end=_MEAN_SHARE),),
        ),
        _drawing(name="references_first", what="the reference before the video", change="references_first"),
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
"""Guidance compared on the trained model: time-adaptive takes A and then B, constant the middle of both."""

LOOKS = (0.25, 0.4, 0.55, 0.75)
"""Shares of the steps at which lip sync is looked at while a variant learns, where a claim asks for it."""
APPEARS = 0.4
"""Lip sync from which on it is said to be there; renders reach twice of it."""


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
    Claim("Focus-by-predicting improves lip sync.", "stage2", "no_focus", "sync"),
    Claim("Focus-by-predicting helps identity.", "stage2", "no_focus", "identity"),
    _argued("Focus-by-predicting improves lip sync beside a silent listener.", "stage2", "no_focus", "sync_second"),
    _argued("Focus-by-predicting: the listener's mouth follows the voice less.", "stage2", "no_focus", "leak", False),
    _argued("Focus-by-predicting lets lip sync appear after fewer steps.", "stage2", "no_focus", "sync_after", False),
    _argued("A soft teacher is better than a hard gate for lip sync.", "stage2", "hard_gate", "sync"),
    _argued("A soft teacher is better than a hard gate beside a listener.", "stage2", "hard_gate", "sync_second"),
    Claim("Progressive training improves lip sync.", "full", "no_progressive", "sync"),
    Claim("Progressive training helps identity.", "full", "no_progressive", "identity"),
    Claim("Progressive training helps to follow the text.", "full", "no_progressive", "text"),
    Claim("Self-attention alone keeps what text could do.", "stage2", "full_finetune", "text"),
    Claim("Self-attention alone keeps picture quality.", "stage2", "full_finetune", "frechet", False),
    _argued("The reference belongs after the video: the text is followed.", "full", "references_first", "text"),
    _argued("The reference belongs after the video: identity is kept.", "full", "references_first", "identity"),
    _argued("Time-adaptive guidance follows the text better than constant.", "adaptive", "constant", "text"),
    _argued("Time-adaptive guidance keeps identity better than text-heavy.", "adaptive", "text_heavy", "identity"),
    _argued("Time-adaptive guidance keeps lip sync better than text-heavy.", "adaptive", "text_heavy", "sync"),
    _argued("Time-adaptive guidance follows the text better than image-heavy.", "adaptive", "image_heavy", "text"),
)
"""The paper's claims in these figures; those on a listener and on steps are what it says of focus, made measurable."""


def is_asked(name: str, figure: str) -> bool:
    """Whether a claim compares a variant, or a rule, by a figure."""
    return any(name in (claim.better, claim.worse) and claim.figure == figure for claim in CLAIMS)


CAVEATS = (
    "Trainings are short: a mouth that merely followed the loudness would have the lip sync of the column "
    "`sync_loudness`, and the mouth's width, which loudness does not tell, is hardly followed by any variant.",
    "Feed-forward layers and text attention of both starts once learned beside references, sound and the focus loss. "
    "That favours whoever keeps them frozen: `stage2` before `full_finetune`.",
    "`full` and `no_progressive` hear in equally many samples, but `full` in the last three quarters of the steps "
    "alone and mostly at their end. After so few steps its mouth has only begun to follow: the claim on lip sync says "
    "here how soon it does, not how well in the end.",
    "Beside a listener, the half of the picture where the speaker is not is painted over before the speaker's mouth is "
    "read, and the other way round for the listener's. `leak` is the correlation of the listener's mouth with the "
    "voice: how much it moves does not count.",
    "`sync_after` comes from looks at few videos of few steps while a variant learns; the last place, at the end, is "
    "measured on more of them, of the averaged weights. Where the mouth never follows so well, it counts as 1.",
    "Variants have no detail head, so that their `frechet` is not to be compared with that of rules, which are "
    "measured on the whole model.",
    "Rules of guidance are compared on a model that follows text and picture nearly as well as renders do: what a rule "
    "could still add to either is small.",
    "Intervals are of the seeds: all variants of a start share its weights.",
    "Identity counts the half of the videos whose caption leaves the person to the picture.",
)
"""What must be known when reading the results."""
