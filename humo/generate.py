"""`python -m humo generate`: a video from the command line, with the page's defaults, in one go or shot by shot.

Started by torchrun, its processes make one video together (`humo.layers.context_parallel`); the first one writes and
speaks.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from humo.guidance import PLACES, RULES
from humo.loading.lora_files import LoraFile, find_few_step, parse_lora
from humo.loading.memory_presets import PRESETS
from humo.media import Sound, check_video_path, read_picture, read_sound
from humo.space.jobs.request import Defaults, VideoRequest
from humo.system.command_line import check_given, check_room, is_given, silence_libraries
from humo.system.compiler import check_compiler
from humo.system.imports import quick_imports
from humo.system.ranges import SCALES, TIMESTEPS, check_enlarge, check_number, check_seed, read_shift, read_whole
from humo.system.threads import adjust_threads, begin_threads

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState
    from humo.shots.cuts import Shot

GuidanceName = Enum("GuidanceName", {name: name for name in RULES}, type=str)
Memory = Enum("Memory", {size: size for size in PRESETS}, type=str)
Scale = Annotated[float | None, typer.Option(help="Guidance; default: the model's own.")]


def generate(
    context: typer.Context,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Who is seen and what happens; with --shots it may be repeated, one a shot."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Instead of --prompt: a text file, one line for all shots or a line a shot.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The mp4 to write.")] = Path("out.mp4"),
    image: Annotated[list[Path] | None, typer.Option(help="A picture of the person; may be repeated.")] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Show mini a photograph as it is, not drawn as `portrait` does.")
    ] = False,
    audio: Annotated[
        Path | None, typer.Option(help="A voice; the video lasts as long as it, if the model can (else see --shots).")
    ] = None,
    shift: Annotated[
        int, typer.Option(help="Milliseconds, -200 to 200: the mouth moves so much later than the sound is played.")
    ] = 0,
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B, a folder, or a transformer's file (GGUF).")] = "mini",
    fast: Annotated[bool, typer.Option("--fast", help="The model's fast form: one pass a step, few steps.")] = False,
    cache: Annotated[
        str | None,
        typer.Option(help="first_block or taylor: leave out most of the network at steps that change little."),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(help="A LoRA, as FILE or FILE:WEIGHT; may be repeated. What a few-step one asks for is told."),
    ] = None,
    memory: Annotated[Memory | None, typer.Option(help="Make do with a GPU of this size.")] = None,
    compile_model: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile the transformer: a minute once, kept for mini on a CPU; pays for many videos."
        ),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only print where --shots would cut the sound.")] = False,
    shots: Annotated[
        Path | None,
        typer.Option(
            help="Make the whole sound, however long, in shots cut at its pauses. They are kept in this folder; the "
            "same command again goes on where it was stopped. Shot i has the seed --seed + i - 1."
        ),
    ] = None,
    take: Annotated[
        Path | None,
        typer.Option(help="As --shots, but in one unbroken take: in pieces of which each goes on from the one before."),
    ] = None,
    continue_from: Annotated[
        Path | None, typer.Option(help="An mp4 to go on from; what is written holds it too.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="4k+1 frames that are known, with --take or --continue-from.")
    ] = None,
    first_frame: Annotated[
        Path | None, typer.Option(help="A picture that is the first frame, rather than a reference.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(help="4k+1 frames at 25 a second; with --shots, --take or --plan the most of a shot or piece."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Drawn and told if not given.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What shall not be seen.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    guidance: Annotated[
        GuidanceName | None, typer.Option(help="Rule of guidance; default: the model's own, with its scales.")
    ] = None,
    text_scale: Scale = None,
    image_scale: Scale = None,
    audio_scale: Scale = None,
    switch: Annotated[float | None, typer.Option(help="Timestep at which early scales end.")] = None,
    until: Annotated[float | None, typer.Option(help="Timestep below which no guidance acts.")] = None,
    enlarge: Annotated[int, typer.Option(help="Whole number by which the pictures are enlarged.", min=1)] = 1,
    jobs: Annotated[
        Path | None, typer.Option(help="Many videos in one load: a .jsonl or .csv with a video a line (`humo.jobs`).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as plain data for programs.")] = False,
) -> None:
    """Make a video from text, pictures and sound, either or both of the last two left out at will."""
    if compile_model:
        check_compiler()
    if jobs is None:
        check_room(check_video_path(out).parent)
    scales = {"text": text_scale, "image": image_scale, "audio": audio_scale, "switch": switch, "until": until}
    sizes = {"num_frames": frames, "num_inference_steps": steps, "height": height, "width": width}
    _check_numbers(sizes, seed, scales)
    loras = [parse_lora(each) for each in lora or ()]
    if jobs is not None:
        from humo.jobs.command import make_jobs

        options = {name: value for name, value in context.params.items() if is_given(context, name)}
        make_jobs(jobs, options, partial(_load, preset, memory and memory.value, fast, cache, compile_model, loras))
        return
    read_shift(shift, audio is not None)
    for picture in (*(image or ()), *([first_frame] if first_frame else ())):
        read_picture(picture)  # what is wrong with one is told before a model is loaded
    check_given(continue_from, "video")
    texts = _read_prompts(prompt, prompts)
    if plan:
        given = _given(None if audio is None else read_sound(audio), "--plan")
        from humo.shots.generation import cut_list

        typer.echo(cut_list(_plan(given, preset, frames), texts))
        return
    if not texts:
        raise ValueError("No prompt is given: describe with --prompt who and what is to be seen.")
    sound = None if audio is None else read_sound(audio)
    cuts, folder = None, shots or take
    if folder is not None:
        _check_alone(shots=shots, take=take, continue_from=continue_from, first_frame=first_frame)
        given = _given(sound, "--shots" if take is None else "--take")
        cuts = _plan(given, preset, frames) if take is None else _plan_take(given, preset, frames, overlap)
        from humo.shots.generation import cut_list

        listed = cut_list(cuts, texts)
        if _is_main():
            typer.echo(listed, err=True)
    elif len(texts) > 1:
        raise ValueError(f"{len(texts)} prompts are given for one clip: give one, or --shots FOLDER for one a shot.")
    if overlap is not None and take is None and continue_from is None:
        raise ValueError("--overlap says how much is known of what comes before: add --take or --continue-from.")

    if _is_main() and steps is None and guidance is None and (few := find_few_step(each.path for each in loras)):
        typer.echo(f"{few.sentence}: {few.options}", err=True)
    pipe = _load(preset, None if memory is None else memory.value, fast, cache, compile_model, loras)
    check_enlarge(height or pipe.config.default_height, width or pipe.config.default_width, enlarge)
    settings: dict[str, Any] = {
        "num_inference_steps": steps,
        "guidance": _guidance(pipe, guidance, scales),
        "seed": seed,
        "negative_prompt": negative_prompt,
        "height": height,
        "width": width,
    }
    is_main = _is_main()
    if is_main and (estimate := _estimate(pipe, settings, frames, len(image or ()), sound, cuts, memory)):
        typer.echo(estimate, err=True)
    begin_threads()
    with tqdm(unit="step", desc="generating", file=sys.stderr, disable=not is_main) as bar:
        if cuts is None or folder is None or sound is None:
            known: dict[str, Any] = {"continue_from": continue_from, "overlap": overlap, "first_frame": first_frame}
            request = VideoRequest(
                prompt=texts[0],
                images=tuple(image or ()),
                audio=sound,
                num_frames=frames,
                as_is=as_is,
                audio_shift=shift,
                **known,
                **settings,
            )
            video: Any = request.run(pipe, on_step=partial(_advance, bar)).whole()
        else:
            from humo.shots.generation import make_shots

            show = partial(_advance_shot, bar, len(cuts))
            video = make_shots(
                pipe,
                cuts,
                texts,
                folder,
                sound,
                image=image,
                on_step=show,
                is_writer=is_main,
                as_is=as_is,
                audio_shift=shift,
                **settings,
            )
    if is_main:
        num_frames = len(video.frames) if cuts is None else cuts[-1].stop
        video.save(out, enlarge)
        for note in video.notes:
            typer.echo(note, err=True)
        told = {"file": str(out), "frames": num_frames, "seconds": num_frames / video.fps, "seed": video.seed}
        line = f"{out}: {num_frames} frames, {num_frames / video.fps:.2f} s, seed {video.seed}"
        plain = json.dumps({**told, "notes": video.notes, "settings": video.settings}, ensure_ascii=False)
        typer.echo(plain if as_json else line)
    if _num_processes() > 1:
        from humo.layers.context_parallel import stop

        stop()


def _read_prompts(given: list[str] | None, file: Path | None) -> list[str]:
    """The prompts of the options; empty lines of a file are left out."""
    if file is None:
        return list(given or [])
    if given:
        raise ValueError("Both --prompt and --prompts are given: give one of them.")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"The prompts in {file.name} cannot be read: give a text file in UTF-8.") from None
    if not any(lines):
        raise ValueError(f"{file.name} has no line with a prompt: write one for all shots, or a line a shot.")
    return [line for line in lines if line]


def _check_numbers(sizes: dict[str, int | None], seed: int | None, scales: dict[str, float | None]) -> None:
    """Refuse what no model takes before one is loaded."""
    for name, value in sizes.items():
        if value is not None and read_whole(name, value) < 1:
            raise ValueError(f"{name} must be 1 or more but is {value}.")
    if seed is not None:
        check_seed(seed)
    for name, scale in scales.items():
        if scale is not None:
            check_number(f"guidance {name}", scale, *(TIMESTEPS if name in PLACES else SCALES))


def _given(sound: Sound | None, option: str) -> Sound:
    if sound is None:
        raise ValueError(f"{option} cuts a sound, and none is given: add --audio.")
    return sound


def _plan(sound: Sound, preset: str, frames: int | None) -> list[Shot]:
    """Cut a sound into shots that the model can make."""
    from humo.shots.generation import longest_shot, plan_shots

    longest = longest_shot(_config(preset))
    if frames is not None and frames > longest:
        raise ValueError(f"--frames is {frames} but {preset} makes shots of at most {longest}: use {longest}.")
    return plan_shots(sound.original, sound.rate, longest if frames is None else frames)


def _plan_take(sound: Sound, preset: str, frames: int | None, overlap: int | None) -> list[Shot]:
    """Divide a sound into the pieces of a take."""
    from humo.requests.continuing import OVERLAP
    from humo.shots.cuts import count_frames
    from humo.shots.generation import longest_shot
    from humo.shots.take import plan_take

    longest = longest_shot(_config(preset))
    if frames is not None and frames > longest:
        raise ValueError(f"--frames is {frames} but {preset} makes pieces of at most {longest}: use {longest}.")
    return plan_take(count_frames(sound), frames or longest, OVERLAP if overlap is None else overlap)


def _check_alone(**given: Path | None) -> None:
    """Refuse ways of making a video that exclude each other."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{names[0]} and {names[1]} cannot both be: give one of them.")


def _config(preset: str) -> dict[str, Any]:
    """A pipeline's settings without its weights; empty where they are not there yet."""
    from humo.checkpoints import MINI

    index = (MINI if preset == "mini" else Path(preset)) / "model_index.json"
    try:
        return json.loads(index.read_text(encoding="utf-8"))
    except OSError:
        return {}  # a published model before its download, with no limit of its own, or what loading will refuse
    except ValueError:
        raise ValueError(f"{index.parent.name}/{index.name} is damaged: fetch the folder again.") from None


def _guidance(pipe: HuMoPipeline, rule: GuidanceName | None, scales: dict[str, float | None]) -> dict[str, Any]:
    """The model's own guidance or another rule, with the scales of the options."""
    defaults = Defaults.of_pipeline(pipe).with_rule(None if rule is None else rule.value)
    for name in (name for name, value in scales.items() if value is not None and defaults.scale(name) is None):
        option = f"--{name}" if name in PLACES else f"--{name}-scale"
        raise ValueError(f"Guidance {defaults.guidance['rule']} has no {option[2:]} to set: leave {option} out.")
    return defaults.with_scales(**scales)


def _estimate(
    pipe: HuMoPipeline,
    settings: dict[str, Any],
    frames: int | None,
    num_images: int,
    sound: Sound | None,
    cuts: list[Shot] | None,
    memory: Memory | None,
) -> str | None:
    """Memory and time of the clip, or of the longest shot; None for a model as small as mini."""
    from humo.loading.memory import estimate_run
    from humo.requests.checks import choose_num_frames

    if cuts is not None:
        frames = max(cut.num_frames_made for cut in cuts)
    elif frames is None:
        frames = choose_num_frames(sound, pipe.config, [])
    estimate = estimate_run(
        pipe,
        settings["height"] or pipe.config.default_height,
        settings["width"] or pipe.config.default_width,
        frames,
        settings["num_inference_steps"] or pipe.config.default_num_inference_steps,
        None if memory is None else memory.value,
        num_images=num_images,
        has_audio=sound is not None,
        guidance=settings["guidance"],
        num_processes=_num_processes(),
    )
    return estimate if estimate is None or cuts is None else f"{estimate} That is the longest of {len(cuts)} shots."


def _advance(bar: tqdm, state: StepState) -> None:
    adjust_threads()
    bar.total = state.num_steps
    bar.update()


def _advance_shot(bar: tqdm, num_shots: int, shot: Shot, state: StepState) -> None:
    adjust_threads()
    if state.index == 0:
        bar.reset(state.num_steps)
        bar.set_description(f"shot {shot.number} of {num_shots}")
    bar.update()


def _num_processes() -> int:
    """Processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _load(
    preset: str, memory: str | None, fast: bool, cache: str | None, is_compiled: bool, loras: Sequence[LoraFile]
) -> HuMoPipeline:
    """The pipeline, without the libraries' own progress bars; of several processes each on its own device."""
    with quick_imports():
        from humo.checkpoints import load  # this takes seconds, and a wrong call is refused before
    gc.freeze()  # what was imported stays until the program ends

    silence_libraries()
    if _num_processes() == 1:
        return load(preset, memory=memory, fast=fast, cache=cache, lora=loras, compile=is_compiled)
    if cache is not None:  # each process would judge by its own share of the video
        raise ValueError("A cache works in one process only: leave --cache out, or torchrun.")
    if is_compiled:  # untried, as is what the processes exchange then
        raise ValueError("Compiled code works in one process only: leave --compile out, or torchrun.")
    from humo.layers.context_parallel import local_device, start

    pipe = load(preset, device=local_device(), memory=memory, fast=fast, lora=loras)
    start(pipe)
    return pipe
