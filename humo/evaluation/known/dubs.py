"""Dubs of held-out clips: does the mouth say the new sentence, no more the old one, and does the rest stay? All ours.

`python -m humo evaluate --dubs N`. Each clip is a render of a person whom training never saw, with a sentence; its new
voice is the same person's with the next one's sentence, so that a render of what should come out is known as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from diffusers.utils import make_image_grid
from PIL import Image
from tqdm import tqdm

from humo.dubbing.dub import Asked, choose_region, lay_made, read_dub
from humo.dubbing.region import Region
from humo.dubbing.shape import Shape
from humo.evaluation import metrics
from humo.evaluation.cases import Case, make_case
from humo.evaluation.probes.networks import ProbeOutput, Probes
from humo.explain.regions import show_region
from humo.pipeline import HuMoPipeline
from humo.requests.call import Call
from humo.system.fingerprint import fingerprint_pipeline
from humo.timing import SAMPLE_RATE
from humo.world.clips import Clip, plan_clip, render_clip

_SHOWN = 480
"""Side of a frame in the sheet, pixels."""
_MOUTH = 2
"""Of `humo.world.clips.Clip.features`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DubSettings:
    """What is measured."""

    num_dubs: int = 128
    """People and sentences."""
    seed: int = 0
    """Of the cases."""
    split: str = "test"
    """"test", or "validation" to choose settings on."""
    num_frames: int = 49
    """Of a clip."""
    num_inference_steps: int | None = None
    """None for the model's own."""
    batch_size: int = 8
    """Dubs that are made together."""


@dataclass(frozen=True, slots=True)
class Dub:
    """A clip, what was made of it, and the truth."""

    case: Case
    """The clip that was given."""
    wanted: Clip
    """A render of the same person who says the new sentence."""
    frames: np.ndarray
    """The dub, uint8 (f, s, s, 3)."""
    region: Region


def evaluate_dubs(
    pipe: HuMoPipeline, probes: Probes, settings: DubSettings, shape: Shape | None = None, sheet: Path | None = None
) -> dict[str, Any]:
    """Dub held-out clips and judge them.

    Args:
        pipe: the model.
        probes: trained.
        settings: what is measured.
        shape: of the region.
        sheet: a picture of the first dubs to write.

    Returns:
        Plain data, as of `judge_dubs`, and "settings".
    """
    pairs = make_pairs(settings)
    dubs = list[Dub]()
    with tqdm(desc="dubbing", total=len(pairs), unit="clip") as bar:
        for start in range(0, len(pairs), settings.batch_size):
            dubs += make_dubs(pipe, pairs[start : start + settings.batch_size], settings, shape)
            bar.update(len(dubs) - start)
    if sheet is not None:
        draw_sheet(dubs[:4]).save(sheet)
    report = judge_dubs(dubs, probes)
    return report | {"settings": asdict(settings) | {"model": fingerprint_pipeline(pipe)}}


def make_pairs(settings: DubSettings) -> list[tuple[Case, Clip]]:
    """Clips in which one person speaks, and renders of the same with another sentence."""
    clips = list[Clip]()
    for number in count(settings.seed * 1_000_000):
        plan = plan_clip(number, settings.split)
        if plan.distractor != "second" and plan.sentence:  # probes read one face
            clips.append(render_clip(plan, settings.num_frames))
        if len(clips) == settings.num_dubs:
            break
    pairs = []
    for index, clip in enumerate(clips):
        said = clips[(index + 1) % len(clips)].plan.sentence
        wanted = render_clip(replace(clip.plan, sentence=said), settings.num_frames)
        pairs.append((make_case(index, clip, settings.seed), wanted))
    return pairs


def make_dubs(
    pipe: HuMoPipeline, pairs: Sequence[tuple[Case, Clip]], settings: DubSettings, shape: Shape | None = None
) -> list[Dub]:
    """A few dubs, made together."""
    asked, regions, calls = list[Asked](), list[Region](), list[Call]()
    for case, wanted in pairs:
        voice = wanted.waveform, SAMPLE_RATE
        each = read_dub(
            pipe,
            case.clip.frames,
            voice,
            num_inference_steps=settings.num_inference_steps,
            seed=case.noise_seed,
            as_is=True,
        )
        region = choose_region(pipe, each, shape=shape)
        asked.append(each)
        regions.append(region)
        calls.append(each.with_known(pipe, region))
    made = pipe.generate_batch(calls)
    return [
        Dub(case, wanted, lay_made(each, one, region), region)
        for (case, wanted), each, one, region in zip(pairs, asked, made, regions, strict=True)
    ]


def judge_dubs(dubs: Sequence[Dub], probes: Probes) -> dict[str, Any]:
    """Figures of dubs.

    Returns:
        "sync_new" and "sync_old": lip sync with the new sentence and with the one before, at one lag for all, and their
        intervals; "sync_renders" and "sync_clips": of the render of what is wanted and of the clip itself with the new
        sentence, the most that can be and what doing nothing gives; "identity" and "identity_clips": share of the
        person's attributes that are read right in the dub and in the clip; "faces"; "same_outside": share of values
        outside of the region that are the clip's to the bit; "region": its share of the picture; "mouth_covered": share
        of the mouth's pixels, the old and the new one's, where more than half is new; "edge": how steep the picture is
        in the region's soft edge beside the clip there, 1 for as steep or where there is no edge.
    """
    new, old = [dub.wanted.openness for dub in dubs], [dub.case.clip.openness for dub in dubs]
    readings = _read(probes, [dub.frames for dub in dubs])
    clips = _read(probes, [dub.case.clip.frames for dub in dubs])
    renders = _read(probes, [dub.wanted.frames for dub in dubs])
    scores = metrics.sync_scores([one.openness for one in readings], new)
    lag = metrics.best_lag(scores)
    own = np.diag(scores[lag])
    before = np.array([_sync(one, truth, lag) for one, truth in zip(readings, old, strict=True)])
    return {
        "dubs": len(dubs),
        "sync_new": float(own.mean()),
        "sync_new_interval": metrics.interval(lambda index: float(own[index].mean()), len(own)),
        "sync_old": float(before.mean()),
        "sync_old_interval": metrics.interval(lambda index: float(before[index].mean()), len(before)),
        "sync_lag": lag,
        "sync_renders": float(np.mean([_sync(one, truth) for one, truth in zip(renders, new, strict=True)])),
        "sync_clips": float(np.mean([_sync(one, truth) for one, truth in zip(clips, new, strict=True)])),
        "identity": _identity(dubs, readings),
        "identity_clips": _identity(dubs, clips),
        "faces": float(np.mean([(one.face > 0.5).mean() for one in readings])),
        "same_outside": float(np.mean([_same_outside(dub) for dub in dubs])),
        "region": float(np.mean([dub.region.inside.mean() for dub in dubs])),
        "mouth_covered": float(np.mean([_covered(dub) for dub in dubs])),
        "edge": float(np.mean([edge_of(dub.frames, dub.case.clip.frames, dub.region) for dub in dubs])),
    }


def edge_of(frames: np.ndarray, clip: np.ndarray, region: Region) -> float:
    """How steep a dub is in the soft edge of its region beside its clip at the same place; 1 for as steep."""
    ring = (region.opacity > 0) & (region.opacity < 255)
    if not ring.any():
        return 1.0
    return float(_steepness(frames)[ring].mean() / max(_steepness(clip)[ring].mean(), 1e-9))


def dub_table(report: dict[str, Any]) -> str:
    """The figures as lines of text."""
    names = [name for name, value in report.items() if isinstance(value, int | float)]
    return "\n".join(f"{name:<16} {report[name]:.3f}" for name in names)


def draw_sheet(dubs: Sequence[Dub]) -> Image.Image:
    """Of each dub a row: the clip with its region, the dub, and what was wanted, at two moments."""
    frames = []
    for dub in dubs:
        shown = show_region(dub.case.clip.frames, dub.region)
        places = [len(shown) // 3, 2 * len(shown) // 3]
        frames += [film[place] for place in places for film in (shown, dub.frames, dub.wanted.frames)]
    large = [Image.fromarray(frame).resize((_SHOWN, _SHOWN), Image.Resampling.LANCZOS) for frame in frames]
    return make_image_grid(large, rows=len(dubs), cols=len(large) // len(dubs))


def _read(probes: Probes, videos: Sequence[np.ndarray]) -> list[ProbeOutput]:
    return [probes.read(frames) for frames in tqdm(videos, desc="reading", unit="clip")]


def _sync(reading: ProbeOutput, truth: np.ndarray, lag: int = 0) -> float:
    return metrics.lagged_correlation(reading.openness, truth, lag)


def _identity(dubs: Sequence[Dub], readings: Sequence[ProbeOutput]) -> float:
    return metrics.share(
        [
            {name: reading.label(name) == dub.case.truth(name) for name in dub.case.identity()}
            for dub, reading in zip(dubs, readings, strict=True)
        ]
    )


def _same_outside(dub: Dub) -> float:
    outside = ~dub.region.inside
    return float((dub.frames == dub.case.clip.frames)[outside].mean()) if outside.any() else 1.0


def _covered(dub: Dub) -> float:
    mouth = (dub.case.clip.features == _MOUTH) | (dub.wanted.features == _MOUTH)
    return float((dub.region.opacity > 127)[mouth].mean())


def _steepness(frames: np.ndarray) -> np.ndarray:
    """Absolute differences to the neighbours on the right and below, summed, (f, s, s)."""
    values = frames.astype(np.float32).mean(-1)
    across, down = (np.abs(np.diff(values, axis=axis, append=values.take([-1], axis))) for axis in (2, 1))
    return across + down
