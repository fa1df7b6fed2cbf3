"""The loop of the model's training: batches, steps, log, resumable state, sample sheets, and the finished pipeline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel, WhisperFeatureExtractor

from humo.audio import AudioEncoder
from humo.checkpoints import load
from humo.layers.autoencoder import HuMoVideoCodec
from humo.media.loudness import HEARD_LEVEL
from humo.pipeline import HuMoPipeline
from humo.sampling import make_scheduler
from humo.timing import FPS, SAMPLE_RATE
from humo.training.compiling import should_compile
from humo.training.run import Run, RunningMeans, machine_name
from humo.training.transformer.batches import BatchSettings, fill_batch
from humo.training.transformer.data import ClipData
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer, add_detail_head, make_mini
from humo.training.transformer.planning import Planner
from humo.training.transformer.rounds import LoopSettings, Round
from humo.training.transformer.stages import detail_stages, further_stages, mini_stages, stage_at
from humo.world.clips import plan_clip, render_clip

NUM_FRAMES, SIZE = 49, 128
DETAIL_LAYERS, LEAST_SIGMA = 6, 0.02
"""Blocks of the detail head, and the least noise level at which it learns."""
GUIDANCE = {"rule": "paper", "text": 3.5, "image": 3.5, "audio": 3.5, "early": [3.5, 3.5, 1.0], "switch": 900.0}
"""Time-adaptive as in the paper; mini's own scales, chosen on the validation split among five sets: less loses
patterns, more burns edges. Equal scales save passes."""
SHIFT = 6.0
"""Chosen likewise: 3 leaves more grain, 12 follows the text a little less."""


def train_transformer(out: Path, settings: LoopSettings) -> None:
    """Trains through the stages and writes `out/pipeline`.

    Args:
        out: folder of the whole training, with autoencoder, audio encoder and data in it.
        settings: of the run.

    Raises:
        ValueError: if an earlier part of the training is missing, neither steps nor minutes are given, or the folder's
            training cannot go on like this.
    """
    run = Run(out / "transformer", settings.steps or 0)
    state = run.load()
    rounds = Round.of(state, settings)
    data = ClipData(out / "data", *load_audio_encoder(out), settings.device)
    tokenizer, text_encoder = load_text_encoder(out)
    torch.manual_seed(0)
    latent_std = state["latent_std"] if state and "latent_std" in state else data.latent_std()
    detail_layers = state.get("detail_layers", 0) if state else 0
    begins_detail = rounds.detail and not detail_layers
    if begins_detail:
        model, detail_layers = _with_detail_head(out, text_encoder), DETAIL_LAYERS
    else:
        audio_channels = data.encoder.config.d_model
        model = make_mini(latent_std, audio_channels, text_encoder, settings.layers, detail_layers=detail_layers)
    trainer = Trainer(model, ModelSettings(learning_rate=settings.learning_rate), settings.device)
    if state is not None and not begins_detail:
        trainer.load(state["trainer"])
    first, pace = rounds.step, rounds.pace()
    if should_compile(settings.compile, settings.device, rounds.is_long):
        trainer.compile()
    kind = detail_stages if rounds.detail else further_stages if rounds.further else mini_stages
    stages = kind(settings.audio_share)
    sigmas = (LEAST_SIGMA, model.transformer.config.detail_below / 1000.0) if rounds.detail else None
    means = RunningMeans()
    with (
        Planner(tokenizer, BatchSettings(tokens=settings.tokens, sigmas=sigmas), settings.processes) as planner,
        ThreadPoolExecutor(1) as reader,
    ):
        coming = reader.submit(data.read_new)
        plans = planner.plans(first, lambda: data.seeds, lambda step: stage_at(stages, pace.progress(step)))
        step, is_over = first, pace.is_over(first)
        while not is_over:
            stage, stage_progress, plan = next(plans)
            means.update_with(trainer.step(fill_batch(data, plan), stage, pace.progress(step), stage_progress))
            if step == first:
                run.note_machine(first, machine_name(settings.device))
            step += 1
            is_over = pace.is_over(step)
            if step % 20 == 0:
                run.total_steps = pace.last_step(step)
                run.log(step, **means, clips=len(data))
            if step % settings.save_every == 0 or is_over:
                run.save(
                    step=step,
                    trainer=trainer.state(),
                    latent_std=list(latent_std),
                    detail_layers=detail_layers,
                    round=rounds.state(pace, is_over),
                )
                if coming.done():
                    data.add(coming.result())
                    coming = reader.submit(data.read_new)
            if settings.sheet_every and step % settings.sheet_every == 0:
                write_pipeline(out, trainer, tokenizer)
                draw_sheet(load(out / "pipeline"), run.folder / f"sheet-{step:06d}.png", settings.sheet_cases)
    write_pipeline(out, trainer, tokenizer)


def _with_detail_head(out: Path, text_encoder: UMT5EncoderModel) -> MiniModel:
    """The trained pipeline's averaged weights, with a detail head that has still to learn."""
    pipe = load(out / "pipeline", device="cpu", dtype=torch.float32)
    return MiniModel(add_detail_head(pipe.transformer, DETAIL_LAYERS), text_encoder, pipe.focus_head)


def load_audio_encoder(out: Path, other_voices: bool = True) -> tuple[WhisperFeatureExtractor, AudioEncoder]:
    """The trained audio encoder with its front end.

    Args:
        out: folder of the whole training.
        other_voices: the one that learned to hear other voices, if there is one, rather than its teacher.

    Raises:
        ValueError: if it has not been trained.
    """
    folder = out / "audio_encoder"
    if not (folder / "audio_encoder").exists():
        raise ValueError(f"{folder} has no audio encoder: run `python -m humo train audio-encoder` first.")
    student = out / "voices" / "audio_encoder"
    trained = student if other_voices and student.exists() else folder / "audio_encoder"
    encoder = AudioEncoder.from_pretrained(trained).eval().requires_grad_(False)
    return WhisperFeatureExtractor.from_pretrained(folder / "feature_extractor"), encoder


def load_text_encoder(out: Path) -> tuple[PreTrainedTokenizerFast, UMT5EncoderModel]:
    """The trained text encoder with its tokenizer.

    Raises:
        ValueError: if it has not been trained.
    """
    folder = out / "text_encoder"
    if not (folder / "text_encoder").exists():
        raise ValueError(f"{folder} has no text encoder: run `python -m humo train text-encoder` first.")
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").eval().requires_grad_(False)
    return PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"), encoder


def load_autoencoder(out: Path) -> HuMoVideoCodec:
    """The trained codec, with the refined decoder if there is one."""
    refined = out / "decoder"
    return HuMoVideoCodec.from_pretrained(refined if (refined / "config.json").exists() else out / "autoencoder")


def write_pipeline(out: Path, trainer: Trainer, tokenizer: PreTrainedTokenizerFast) -> None:
    """Saves the averaged weights as a whole pipeline in `out/pipeline`."""
    model: MiniModel = trainer.model
    trainer.ema.store(model.learned().values())
    trainer.ema.copy_to(model.learned().values())
    make_pipeline(out, model, tokenizer).save_pretrained(out / "pipeline")
    trainer.ema.restore(model.learned().values())


def make_pipeline(out: Path, model: MiniModel, tokenizer: PreTrainedTokenizerFast) -> HuMoPipeline:
    """A pipeline of the model as it is, with the codec and the audio encoder of the training's folder."""
    extractor, encoder = load_audio_encoder(out)
    return HuMoPipeline(
        tokenizer=tokenizer,
        text_encoder=model.text_encoder,
        feature_extractor=extractor,
        audio_encoder=encoder,
        transformer=model.transformer,
        vae=load_autoencoder(out),
        scheduler=make_scheduler(SHIFT),
        focus_head=model.focus_head,
        max_sequence_length=48,
        default_height=SIZE,
        default_width=SIZE,
        default_num_frames=NUM_FRAMES,
        default_num_inference_steps=16,
        default_guidance=GUIDANCE,
        supported_sizes=[[SIZE, SIZE]],
        max_trained_frames=NUM_FRAMES,
        max_frames=10 * FPS + 1,
        max_references=1,
        batch_branches=True,
        draws_photographs=True,
        rewords_prompts=True,
        heard_level=HEARD_LEVEL,
    )


def draw_sheet(pipe: HuMoPipeline, path: Path, num_cases: int) -> None:
    """Generates held-out cases in three modes, one row each: reference, then every sixth frame."""
    rows = []
    for seed in range(num_cases):
        plan = plan_clip(seed, "validation")
        clip = render_clip(replace(plan, distractor="none"), NUM_FRAMES, SIZE)
        rng = np.random.default_rng(seed)
        for mode in ("TI", "TA", "TIA"):
            has_image, has_audio = "I" in mode, "A" in mode
            video = pipe(
                prompt=clip.caption(rng, name_person=not has_image or seed % 2 == 0),
                image=Image.fromarray(clip.reference) if has_image else None,
                audio=(clip.waveform, SAMPLE_RATE) if has_audio and np.abs(clip.waveform).max() > 0.01 else None,
                num_frames=NUM_FRAMES,
                seed=seed,
                as_is=True,
            )
            reference = clip.reference if has_image else np.full_like(clip.reference, 255)
            rows.append(np.concatenate([reference, *video.frames[::6]], axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
