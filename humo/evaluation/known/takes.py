"""Takes longer than a clip: unbroken, of blended windows, and of hard cuts, on the same held-out people. All ours.

`python -m humo evaluate --takes N`. Three ways make each take of the same case: *take*, pieces that go on from each
other (`humo.requests.continuing`); *windows*, one call whose velocities are blended (`humo.layers.windows`); *shots*,
single clips with hard cuts at pauses (`humo.shots`), which are also what lip sync is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from humo.evaluation import metrics
from humo.evaluation.cases import Case, make_case
from humo.evaluation.judging import judge_mouths
from humo.evaluation.probes.networks import Probes
from humo.media import Sound
from humo.media.loudness import level_sound
from humo.pipeline import HuMoPipeline
from humo.requests.call import read_call
from humo.requests.continuing import OVERLAP, START_SIGMA
from humo.requests.output import Earlier, HuMoPipelineOutput, fade
from humo.shots.cuts import Shot, cut_sound
from humo.shots.generation import longest_shot, plan_shots
from humo.shots.take import plan_take
from humo.system.digests import digest_data
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint_pipeline
from humo.timing import FPS, FRAMES_PER_LATENT, SAMPLE_RATE, round_up
from humo.world.clips import plan_clip, render_clip
from humo.world.sentences import sample_sentence

WAYS = ("take", "windows", "shots")
_MODE = "TIA"
_SENTENCES = 6
"""More than anybody says in 8 seconds."""
_FIRST_PLAN = 5_000_000
"""Of the plans of takes, which single clips do not share."""
_RENDERS = "renders"
_KNOWN = ("overlap", "resampling", "start_sigma")
"""Settings of a take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeSettings:
    """What is measured."""

    num_takes: int = 64
    """People and texts."""
    seconds: float = 8.0
    """Of each take."""
    seed: int = 0
    """Of the cases."""
    split: str = "test"
    """"test", or "validation" to choose settings on."""
    overlap: int = OVERLAP
    """Frames that are known from the piece before."""
    resampling: int = 0
    """How often each step is done again."""
    start_sigma: float = START_SIGMA
    """Noise level at which what follows a piece begins (`humo.known.Known`)."""
    num_inference_steps: int | None = None
    """None for the model's own."""
    batch_size: int = 4
    """Takes that are made together."""


@dataclass(frozen=True, slots=True)
class Made:
    """One take as one way made it."""

    frames: np.ndarray
    """uint8 (f, s, s, 3)."""
    seams: list[int]
    """First frames of the pieces but the first."""


def evaluate_takes(
    pipe: HuMoPipeline,
    probes: Probes | None,
    settings: TakeSettings,
    ways: Sequence[str] = WAYS,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Make and judge takes.

    Args:
        pipe: the model.
        probes: trained; None leaves out what they read.
        settings: what is measured.
        ways: some of `WAYS`.
        folder: where takes are kept and found again.

    Returns:
        Plain data: figures by way, and of the rendered truth.
    """
    cases = make_takes(settings, longest_shot(pipe.config))
    made = {way: make_all(pipe, cases, way, settings, folder) for way in ways}
    # renders have no seams; what they do where the take has its own
    places = [one.seams for one in made["take"]] if "take" in made else [[] for _ in cases]
    made[_RENDERS] = [Made(case.clip.frames, seams) for case, seams in zip(cases, places, strict=True)]
    report = {way: judge_takes(cases, takes, probes) for way, takes in made.items()}
    return {"ways": report, "settings": asdict(settings) | {"model": fingerprint_pipeline(pipe)}}


def make_takes(settings: TakeSettings, longest: int) -> list[Case]:
    """Cases whose people speak for as long as the take lasts."""
    cases, number = list[Case](), _FIRST_PLAN * (settings.seed + 1)
    num_frames = round_up(max(longest + 4, round(settings.seconds * FPS)))
    with tqdm(desc="drawing takes", total=settings.num_takes, unit="clip") as bar:
        while len(cases) < settings.num_takes:
            plan, number = plan_clip(number, settings.split), number + 1
            if plan.distractor == "second" or not plan.sentence:
                continue  # probes read one face
            rng = np.random.default_rng((22, number))
            said = " ".join(sample_sentence(rng, plan.held_out) for _ in range(_SENTENCES))
            clip = render_clip(replace(plan, sentence=said), num_frames)
            cases.append(make_case(len(cases), clip, settings.seed))
            bar.update()
    return cases


def make_all(
    pipe: HuMoPipeline, cases: Sequence[Case], way: str, settings: TakeSettings, folder: Path | None = None
) -> list[Made]:
    """Every take by one way, those that the folder holds read from there."""
    paths = [_path(pipe, case, way, settings, folder) for case in cases]
    made = {index: read for index, path in enumerate(paths) if (read := _read(path)) is not None}
    missing = [index for index in range(len(cases)) if index not in made]
    size = 1 if way == "shots" else settings.batch_size  # each is cut at its own pauses
    with tqdm(desc=f"{way}: making", total=len(cases), initial=len(made), unit="take") as bar:
        for start in range(0, len(missing), size):
            some = missing[start : start + size]
            for index, one in zip(some, make_some(pipe, [cases[i] for i in some], way, settings), strict=True):
                made[index] = one
                _write(paths[index], one)
            bar.update(len(some))
    return [made[index] for index in range(len(cases))]


def make_some(pipe: HuMoPipeline, cases: Sequence[Case], way: str, settings: TakeSettings) -> list[Made]:
    """A few takes by one way, made together."""
    total, sounds = len(cases[0].clip.frames), [_sound(case, pipe) for case in cases]
    longest = longest_shot(pipe.config)
    if way == "take":
        pieces = plan_take(total, longest, settings.overlap)
    elif way == "windows":
        pieces = [Shot(1, 0, total, "")]
    else:
        pieces = plan_shots(cases[0].clip.waveform, SAMPLE_RATE, longest)
    outputs: list[list[HuMoPipelineOutput]] = []
    for piece in pieces:
        calls = []
        for index, (case, sound) in enumerate(zip(cases, sounds, strict=True)):
            known: dict[str, Any] = {}
            if piece.overlap:
                last = outputs[-1][index]
                before = cut_sound(sound, piece.start - piece.overlap, piece.start).waveform
                frames = np.concatenate([one[index].frames for one in outputs])
                earlier = Earlier(frames, latents=last.latents, heard=before)
                known = {name: getattr(settings, name) for name in _KNOWN} | {"continue_from": earlier}
            call = read_call(
                pipe,
                case.captions[_MODE].text,
                image=case.reference,
                audio=cut_sound(sound, piece.start, piece.start - piece.overlap + piece.num_frames_made),
                num_frames=piece.num_frames_made,
                num_inference_steps=settings.num_inference_steps,
                seed=case.noise_seed + piece.number - 1,
                as_is=True,
                **known,
            )
            calls.append(replace(call, prompt_read=None))  # captions are in the model's own words
        outputs.append(pipe.generate_batch(calls))
    return [_join(pieces, [one[index] for one in outputs]) for index in range(len(cases))]


def judge_takes(cases: Sequence[Case], takes: Sequence[Made], probes: Probes | None) -> dict[str, Any]:
    """Figures of one way.

    Returns:
        "jump": change at a seam over what is usual where a latent frame begins, mean and 95 % interval over takes, and
        "jump_largest"; "jump_of_all": over what is usual between any two frames; with probes "identity_first",
        "identity_last" (share of the person's attributes that are read right in the first and in the last second),
        "identity_kept", their quotient, "grain_first", "grain_last", "faces", and lip sync as of
        `humo.evaluation.judging.judge_mouths`.
    """
    jumps = [[jump_at(one.frames, seam) for seam in one.seams] for one in takes]
    of_all = [jump_at(one.frames, seam, 1) for one in takes for seam in one.seams]
    figures: dict[str, Any] = {"takes": len(takes), "seams": sum(map(len, jumps))}
    if seen := [float(np.mean(some)) for some in jumps if some]:
        figures["jump"] = float(np.mean(seen))
        figures["jump_interval"] = metrics.interval(lambda index: float(np.mean([seen[i] for i in index])), len(seen))
        figures["jump_largest"] = float(max(max(some) for some in jumps if some))
        figures["jump_of_all"] = float(np.mean(of_all))
    if probes is None:
        return figures
    readings = [probes.read(one.frames) for one in tqdm(takes, desc="reading", unit="take")]
    ends = [(probes.read(one.frames[:FPS]), probes.read(one.frames[-FPS:])) for one in takes]
    for place, name in enumerate(("first", "last")):
        hits = [
            {attribute: pair[place].label(attribute) == case.truth(attribute) for attribute in case.identity()}
            for case, pair in zip(cases, ends, strict=True)
        ]
        figures[f"identity_{name}"] = metrics.share(hits)
        figures[f"grain_{name}"] = float(np.mean([pair[place].grain for pair in ends]))
    figures["identity_kept"] = figures["identity_last"] / max(figures["identity_first"], 1e-9)
    figures["faces"] = float(np.mean([(reading.face > 0.5).mean() for reading in readings]))
    return figures | judge_mouths(cases, readings)


def jump_at(frames: np.ndarray, seam: int, every: int = FRAMES_PER_LATENT) -> float:
    """By how much more a seam changes the picture than what is usual.

    A codec's frames change more where one latent frame ends and the next begins than within one, mini's twice as much,
    in a clip of one piece too; and a seam of a take lies there.

    Args:
        frames: uint8 (f, s, s, 3).
        seam: number of the first frame after it.
        every: frames from one moment to the next that a seam is compared with; 1 for all.

    Returns:
        Mean absolute difference to the frame before over the median of the others'.
    """
    changes = np.array([np.abs(b.astype(np.int16) - a).mean() for a, b in zip(frames, frames[1:], strict=False)])
    others = [change for place, change in enumerate(changes, 1) if place % every == seam % every and place != seam]
    return float(changes[seam - 1]) / max(float(np.median(others)), 1e-9)


def take_table(report: dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = ["way      jump at a seam    largest  of all  identity kept  lip sync  faces  grain first, last"]
    for way, figures in report["ways"].items():
        spread = figures.get("jump_interval") or (float("nan"), float("nan"))
        jump = f"{figures.get('jump', float('nan')):5.2f} ({spread[0]:.2f}-{spread[1]:.2f})"
        names = ("jump_largest", "jump_of_all", "identity_kept", "sync", "faces")
        told = [figures.get(name, float("nan")) for name in names]
        grain = [figures.get(f"grain_{name}", float("nan")) for name in ("first", "last")]
        lines.append(
            f"{way:<8} {jump}  {told[0]:7.2f}  {told[1]:6.2f}  {told[2]:13.3f}  {told[3]:8.3f}  {told[4]:5.3f}  "
            f"{grain[0]:.2f}, {grain[1]:.2f}"
        )
    return "\n".join(lines)


def _join(pieces: Sequence[Shot], outputs: Sequence[HuMoPipelineOutput]) -> Made:
    """Pieces faded into each other, or cut, as `humo.shots.folder.ShotFolder` does it."""
    frames = outputs[0].frames[: pieces[0].num_frames]
    for piece, output in zip(pieces[1:], outputs[1:], strict=True):
        frames = np.concatenate([fade(frames, output.overlapped), output.frames[: piece.num_frames]])
    return Made(frames, [piece.start for piece in pieces[1:]])


def _sound(case: Case, pipe: HuMoPipeline) -> Sound:
    waveform = case.clip.waveform
    return level_sound(Sound(waveform, waveform[:, None], SAMPLE_RATE), pipe.config.heard_level, [])


def _path(pipe: HuMoPipeline, case: Case, way: str, settings: TakeSettings, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    asked = {"steps": settings.num_inference_steps, "frames": len(case.clip.frames)}
    if way == "take":
        asked |= {name: getattr(settings, name) for name in _KNOWN}
    told = [fingerprint_pipeline(pipe), way, asked, case.captions[_MODE].text, repr(case.clip.plan), case.noise_seed]
    return folder / way / f"{digest_data(told)[:16]}.npz"


def _read(path: Path | None) -> Made | None:
    if path is None or not path.is_file():
        return None
    with np.load(path) as file:
        return Made(file["frames"], file["seams"].tolist())


def _write(path: Path | None, made: Made) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez_compressed(file, frames=made.frames, seams=np.array(made.seams, np.int64))
