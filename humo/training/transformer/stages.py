"""The stages: what learns, which conditions are shown, and how the share of sound grows.

The paper starts from a trained text-to-video model and trains self-attention alone on references (stage 1), then
self-attention and the audio modules on sound (stage 2), with 80 % subject and 20 % sync task at first and 50 % sync at
the end. A model from nothing cannot do that: its first stage must learn to draw, and the parts that the paper keeps
frozen (feed-forward, text attention) have nothing yet to keep. So in mini's recipe every stage trains everything, and
what stays of the paper is the order, the curriculum and the focus loss. `trainable_names` gives the paper's lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from humo.layers.detail import DETAIL_PREFIX

SELF_ATTENTION, AUDIO = "attn1.", ("audio_attn.", "audio_projection.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of a training.

    Source: HuMo sec. 3.2 and 3.3 for order and curriculum; all shares but the sync task's are ours.
    """

    name: str
    """For logs."""
    end: float
    """Share of all steps at which the stage ends."""
    learns: str
    """"all", "all_but_audio" (ours), "self_attention" (the paper's stage 1), "self_attention+audio" (its stage 2) or
    "detail" (ours: the detail head alone)."""
    image_share: float
    """Share of samples that see their reference."""
    audio_start: float = 0.0
    """Share of the sync task at the beginning of the stage: samples that hear their sound."""
    audio_end: float = 0.0
    """The same at the end of the ramp."""
    ramp: float = 0.5
    """Part of the stage over which the share rises, in a straight line; the paper gives no shape."""
    focus: bool = False
    """Whether the focus head and its loss are on."""
    latent_frames: tuple[int, ...] = (13,)
    """Lengths of the clips, latent frames; each step draws one."""
    movement: float = 0.0
    """Extra loss on what differs between the frames of a clip (ours)."""
    restart: float = 0.0
    """Learning rate with which the stage begins anew, as a share of the peak; 0 goes on with the training's cosine."""


def mini_stages(audio_end: float = 0.5) -> tuple[Stage, ...]:
    """Mini's recipe; nearly still clips first, because they are cheap and all that text and pictures need.

    Movements of the head are a twentieth of it, and most clips of the first three stages are over before it has moved:
    the last stage has long clips alone, and counts what differs between their frames more.

    Args:
        audio_end: share of the sync task at the end; 0.5 in the paper.
    """
    sound = Stage(
        name="sound",
        end=0.79,
        learns="all",
        image_share=0.7,
        audio_start=0.2,
        audio_end=audio_end,
        ramp=0.2,
        focus=True,
        latent_frames=(1, 2, 3, 5, 9, 13),
    )
    return (
        Stage(name="text", end=0.1, learns="all", image_share=0.0, latent_frames=(1, 2)),
        Stage(name="references", end=0.2, learns="all", image_share=0.7, latent_frames=(1, 2)),
        sound,
        replace(
            sound, name="movement", end=1.0, audio_start=audio_end, latent_frames=(5, 9, 13), movement=2.0, restart=0.4
        ),
    )


def further_stages(audio_end: float = 0.5) -> tuple[Stage, ...]:
    """A further round of a trained model, which can draw and hear already; the learning rate rises and falls anew.

    Args:
        audio_end: share of the sync task throughout.
    """
    *_, sound, movement = mini_stages(audio_end)
    return (
        replace(sound, end=0.6, audio_start=audio_end),
        replace(movement, latent_frames=(2, 5, 9, 13), restart=0.0),
    )


def detail_stages(audio_end: float = 0.5) -> tuple[Stage, ...]:
    """A round in which a trained model's detail head learns, on clips long enough to look to their neighbours.

    Args:
        audio_end: share of the sync task throughout.
    """
    return (
        Stage(
            name="detail",
            end=1.0,
            learns="detail",
            image_share=0.7,
            audio_start=audio_end,
            audio_end=audio_end,
            latent_frames=(3, 5, 9, 13),
        ),
    )


def stage_at(stages: tuple[Stage, ...], progress: float) -> tuple[Stage, float]:
    """The stage at a progress of 0..1, and how far it has come itself, 0..1."""
    begin = 0.0
    for stage in stages:
        if progress < stage.end or stage is stages[-1]:
            return stage, min(1.0, (progress - begin) / (stage.end - begin))
        begin = stage.end
    raise ValueError("a training needs at least one stage.")


def audio_share(stage: Stage, progress: float) -> float:
    """Share of the sync task at a progress of 0..1 within the stage.

    Source: HuMo sec. 3.3, 20 % to 50 %; the straight line is ours.
    """
    return float(np.interp(progress, (0.0, stage.ramp), (stage.audio_start, stage.audio_end)))


def trainable_names(names: list[str], learns: str) -> list[str]:
    """Names of the transformer's parameters that learn.

    Args:
        names: all names.
        learns: as in `Stage`.

    Raises:
        ValueError: if `learns` is unknown.

    Source: HuMo sec. 3.2 (self-attention only) and 3.3 (self-attention and audio modules).
    """
    if learns == "all":
        return list(names)
    if learns == "all_but_audio":
        return [name for name in names if not any(part in name for part in AUDIO)]
    if learns == "detail":
        return [name for name in names if name.startswith(DETAIL_PREFIX)]
    if learns not in ("self_attention", "self_attention+audio"):
        raise ValueError(
            f"learns is {learns!r}: use all, all_but_audio, self_attention, self_attention+audio or detail."
        )
    wanted = (SELF_ATTENTION, *AUDIO) if "audio" in learns else (SELF_ATTENTION,)
    return [name for name in names if any(part in name for part in wanted)]
