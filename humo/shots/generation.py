"""A video longer than a model makes at once: shot by shot, saved as they are done, joined under the whole sound (ours).

`plan_shots` cuts a sound at its pauses (`humo.shots.cuts`), `make_shots` makes every shot with the same pictures, its
own prompt if there is one, and its own noise, and keeps what is done in a folder (`humo.shots.folder`), so that a run
that was stopped goes on. Shot i of seed s has the seed s + i - 1: the first shot is what a single call with s makes.

Each shot hears its own stretch of sound and begins anew: what the text and the pictures leave open may change at a
cut, as in any film with hard cuts.

    shots = plan_shots(samples, rate, longest_shot(pipe.config))
    video = make_shots(pipe, shots, "a woman talks", "out/shots", (samples, rate), image="her.png", seed=7)
    video.save("out/long.mp4")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from humo.guidance import Rule, describe_rule, read_rule
from humo.layers.context_parallel import draw_seed
from humo.layers.step_caches import describe_cache
from humo.media import Sound
from humo.requests.call import Picture, hear_sound, list_pictures, read_references, read_texts
from humo.requests.checks import Request, check_request, make_request
from humo.requests.continuing import START_SIGMA
from humo.requests.output import Earlier
from humo.shots.cuts import Shot as Shot
from humo.shots.cuts import count_frames, cut_sound
from humo.shots.cuts import plan_shots as plan_shots
from humo.shots.folder import ShotFolder, describe
from humo.system.digests import digest_data
from humo.system.fingerprint import fingerprint_generator
from humo.system.ranges import read_shift, read_whole
from humo.timing import FPS, PUBLISHED_FRAMES, round_down

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState


@dataclass(frozen=True)
class ShotVideo:
    """A video made of shots; its frames stay on disk until they are asked for.

    Attributes:
        shots: the cut list.
        audio: the whole sound as given, (float32 (samples, channels), Hz); it ends less than one frame before the
            pictures do.
        seed: what repeats the video with the same inputs.
        settings: all that was asked, as plain data, with the cut list.
        notes: what was decided for the caller, in sentences.
        fps: frames a second, 25.
    """

    shots: list[Shot]
    audio: tuple[np.ndarray, int]
    seed: int
    settings: dict[str, Any]
    notes: list[str]
    _folder: ShotFolder = field(repr=False)
    fps: int = FPS

    @property
    def frames(self) -> np.ndarray:
        """All frames, uint8 RGB (f, height, width, 3); a minute of 480 x 832 pixels takes 1.8 GB."""
        return self._folder.read_whole(self.shots)

    def save(self, path: str | Path, scale: int = 1) -> Path:
        """Join the shots into one mp4 with the whole sound and, in its metadata, the settings and the cut list.

        Args:
            path: the file to write, ending in .mp4.
            scale: whole number by which the pictures are enlarged.

        Returns:
            The path.
        """
        return self._folder.join(self.shots, path, self.audio, self.settings, scale)


def longest_shot(config: Mapping[str, Any]) -> int:
    """The most frames that a model is asked for at once.

    Args:
        config: of a pipeline (`pipe.config`, or its saved model_index.json).

    Returns:
        4k+1 frames: 97, or what the model was trained on or allows if that is less.
    """
    limits = [config.get(name) for name in ("max_trained_frames", "max_frames")]
    shortest = min([PUBLISHED_FRAMES, *(limit for limit in limits if limit is not None)])
    return round_down(shortest)


def cut_list(cuts: Sequence[Shot], texts: Sequence[str]) -> str:
    """The shots as a table, and how many frames they are.

    Args:
        cuts: one or more.
        texts: prompts; none, one for all, or one for each.

    Raises:
        ValueError: as of `prompt_of_each`.
    """
    each = prompt_of_each(texts or [""], len(cuts))
    width = max(len("cut after it"), *(len(cut.note) for cut in cuts))
    lines = [f"shot    start      end  frames  {'cut after it':<{width}}  prompt"]
    for cut, text in zip(cuts, each, strict=True):
        numbers = f"{cut.number:>4} {cut.start / FPS:>7.2f}s {cut.stop / FPS:>7.2f}s {cut.num_frames:>7}"
        lines.append(f"{numbers}  {cut.note:<{width}}  {text}".rstrip())
    made = sum(cut.num_frames_made for cut in cuts)
    lines.append(
        f"{len(cuts)} shots, {cuts[-1].stop} frames ({made} are made: each shot 4k+1), {cuts[-1].stop / FPS:.2f} s"
    )
    return "\n".join(lines)


def prompt_of_each(prompts: str | Sequence[str], num_shots: int) -> list[str]:
    """One prompt a shot, from one for all or one for each.

    Raises:
        ValueError: if their number is neither 1 nor that of the shots.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if len(prompts) not in (1, num_shots):
        if num_shots == 1:
            raise ValueError(f"There is one shot but {len(prompts)} prompts: give one.")
        raise ValueError(
            f"There are {num_shots} shots but {len(prompts)} prompts: give one for all, or {num_shots}, one for each."
        )
    return prompts * num_shots if len(prompts) == 1 else prompts


def make_shots(
    pipe: HuMoPipeline,
    shots: Sequence[Shot],
    prompts: str | Sequence[str],
    folder: str | Path,
    audio: str | Path | tuple[np.ndarray, int] | Sound,
    *,
    image: Picture | Sequence[Picture] | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
    guidance: Rule | Mapping[str, Any] | None = None,
    seed: int | None = None,
    on_step: Callable[[Shot, StepState], None] | None = None,
    is_writer: bool = True,
    as_is: bool = False,
    audio_shift: int = 0,
    resampling: int | None = None,
    start_sigma: float | None = None,
) -> ShotVideo:
    """Make every shot that the folder does not hold yet.

    Args:
        pipe: any HuMo pipeline.
        shots: from `plan_shots` of the same sound, or from `humo.shots.take.plan_take` of its frames.
        prompts: one for all shots, or one for each.
        folder: where the shots are kept; made if it is not there.
        audio: the whole sound, as `HuMoPipeline.__call__` takes it, or already read.
        image: one or several pictures, the same for every shot.
        negative_prompt: what not to see; default from the config, as for all that follow but the seed.
        height: pixels.
        width: pixels.
        num_inference_steps: steps of the solver.
        guidance: a rule of `humo.guidance`, or its plain data.
        seed: of the first shot, the others count on from it; default that of the folder's earlier run, else drawn
            and reported.
        on_step: called with the shot and the state after every step; if it raises, the shots that are done stay.
        is_writer: False in all but one of several processes that make the same video together.
        as_is: show a photograph as it is to a model of drawn people, which draws it otherwise.
        audio_shift: -200 to 200 ms by which the mouths move later than the sound is played, earlier below 0.
        resampling: of a take, how often each step is done again (`humo.known.Known`); default 0.
        start_sigma: of a take, as there; default `humo.requests.continuing.START_SIGMA`.

    Returns:
        The video; its `save` joins the shots.

    Raises:
        ValueError: if an input is not allowed, before the first shot is made.
    """
    # 1. Read and check everything, so that no shot is made in vain
    notes: list[str] = []
    audio_shift = read_shift(audio_shift)
    sound = hear_sound(audio, pipe.config, notes, audio_shift)
    store = ShotFolder(folder)
    _check_cover(shots, count_frames(sound))
    is_take = any(shot.overlap for shot in shots)
    ways = {"resampling": resampling, "start_sigma": start_sigma}
    ways = {name: value for name, value in ways.items() if value is not None}
    if ways and not is_take:
        raise ValueError(f"{next(iter(ways))} is of a take, and these are shots: leave it out.")
    image = list_pictures(image)
    prompts = prompt_of_each(prompts, len(shots))
    rule = read_rule(pipe.config.default_guidance if guidance is None else guidance)
    seed = _choose_seed(pipe, store, notes) if seed is None else read_whole("seed", seed)
    requests = [
        make_request(
            pipe.config,
            prompt,
            num_images=len(image),
            num_frames=shot.num_frames_made,
            seed=seed + shot.number - 1,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
        )
        for shot, prompt in zip(shots, prompts, strict=True)
    ]
    for request in requests:
        check_request(request, pipe.config, pipe.size_multiple)
    requests, read = read_texts(pipe.config, requests, notes, not pipe.transformer.config.guidance_embeds)
    pictures, read, portrait = read_references(pipe.config, image, read, notes, as_is)
    requests = [replace(request, prompt=prompt) for request, prompt in zip(requests, read, strict=True)]

    # 2. See which shots are there
    heard = [cut_sound(sound, shot.start, shot.start - shot.overlap + shot.num_frames_made) for shot in shots]
    cache = describe_cache(pipe.transformer)
    model = fingerprint_generator(pipe.transformer, pipe.vae)
    shared: dict[str, Any] = {"model": model, "guidance": describe_rule(rule), "cache": cache}
    if loras := pipe.active_loras():
        shared["loras"] = loras  # of which the model tells the numbers, not how strongly they count
    arrays = [np.asarray(picture) for picture in pictures]
    prints = list[str]()
    for shot, request, part in zip(shots, requests, heard, strict=True):
        data = {**shared, **asdict(request), "shown": shot.num_frames}
        if shot.overlap:
            data |= {"after": prints[-1], "overlap": shot.overlap, "start_sigma": START_SIGMA, **ways}
        prints.append(digest_data(data, [part.waveform, *arrays]))
    is_missing = _look(store, shots, prints, notes)
    settings = _settings(requests, prompts, shots, describe_rule(rule), pipe.model_name)
    if portrait is not None:
        settings["portrait"] = portrait.to_plain()
    if audio_shift:
        settings["audio_shift"] = audio_shift
    if cache is not None:
        settings["cache"] = cache  # not the exact result
    if loras:
        settings["loras"] = loras
    if is_writer:
        store.begin(settings)

    # 3. Make the others
    last: tuple[Shot, Earlier] | None = None
    for shot, request, part, print_ in compress(zip(shots, requests, heard, prints, strict=True), is_missing):
        known: dict[str, Any] = {}
        if shot.overlap:
            is_at_hand = last is not None and last[0].number == shot.number - 1  # other processes may not have written
            before = last[1] if last is not None and is_at_hand else store.read_earlier(shots, shot)
            before = replace(before, heard=cut_sound(sound, shot.start - shot.overlap, shot.start).waveform)
            known = {**ways, "continue_from": before, "overlap": shot.overlap}
        video = pipe(
            request.prompt,
            negative_prompt=request.negative_prompt,
            image=pictures or None,
            audio=part,
            num_frames=request.num_frames,
            height=request.height,
            width=request.width,
            num_inference_steps=request.num_inference_steps,
            guidance=rule,
            seed=request.seed,
            on_step=None if on_step is None else partial(on_step, shot),
            as_is=True,  # photographs are drawn already
            **known,
        )
        notes += [f"Shot {shot.number}: {note}" for note in video.notes]
        if is_writer:
            shown = cut_sound(sound, shot.start, shot.stop)
            further = {"latents": video.latents, "overlapped": video.overlapped} if is_take else {}
            played = shown.original, shown.rate
            store.write(shot, video.frames[: shot.num_frames], played, video.settings, print_, **further)
        frames = [known["continue_from"].frames[-shot.overlap :]] if shot.overlap else []
        last = shot, Earlier(np.concatenate([*frames, video.frames]), latents=video.latents)
    return ShotVideo(list(shots), (sound.original, sound.rate), seed, settings, notes, store)


def _check_cover(shots: Sequence[Shot], total: int) -> None:
    edges = [0, *(shot.stop for shot in shots)]
    is_whole = [shot.start for shot in shots] == edges[:-1] and edges[-1] == total
    if not shots or not is_whole or any(shot.num_frames < 1 for shot in shots):
        raise ValueError(f"The shots do not cover the sound's {total} frames once: plan them from this sound.")


def _choose_seed(pipe: HuMoPipeline, store: ShotFolder, notes: list[str]) -> int:
    """The folder's seed or a new one; where processes share the work, all take the first one's."""
    earlier = store.seed()
    seed = draw_seed(pipe.transformer, earlier)
    if seed == earlier:
        notes.append(f"The seed of the earlier run in {store.path.name} is used: {earlier}.")
    return seed


def _look(store: ShotFolder, shots: Sequence[Shot], prints: Sequence[str], notes: list[str]) -> list[bool]:
    """Which shots have to be made, and what to say about those that are there."""
    gone_on_from = [*(bool(shot.overlap) for shot in shots[1:]), False]
    reasons = [store.why_missing(*each) for each in zip(shots, prints, gone_on_from, strict=True)]
    if kept := [str(shot.number) for shot, reason in zip(shots, reasons, strict=True) if reason is None]:
        notes.append(f"Kept from the earlier run: shot {', '.join(kept)}.")
    for shot, reason in zip(shots, reasons, strict=True):
        if reason:
            notes.append(f"Shot {shot.number} in {store.path.name} {reason}: it is made again.")
    return [reason is not None for reason in reasons]


def _settings(
    requests: Sequence[Request], prompts: Sequence[str], shots: Sequence[Shot], guidance: dict[str, Any], model: str
) -> dict[str, Any]:
    """What a single clip's settings hold, and the cut list; a prompt, as written and as read, is a list where it
    changes."""
    read = [request.prompt for request in requests]
    cuts = [{**describe(shot), "seed": request.seed} for shot, request in zip(shots, requests, strict=True)]
    return {
        **asdict(requests[0]),
        "prompt": _one_or_all(prompts),
        **({} if read == list(prompts) else {"prompt_read": _one_or_all(read)}),
        "num_frames": shots[-1].stop,
        "mode": "TIA" if requests[0].num_images else "TA",
        "guidance": guidance,
        "model": model,
        "shots": cuts,
    }


def _one_or_all(prompts: Sequence[str]) -> str | list[str]:
    return prompts[0] if len(set(prompts)) == 1 else list(prompts)
