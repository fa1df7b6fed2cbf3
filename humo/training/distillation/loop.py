"""The loop of the distillation: shards, log, resumable state, and the finished folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from humo.loading.fast_form import DOWN
from humo.pipeline import HuMoPipeline
from humo.system.fast_form_config import FOLDER, FastConfig, teacher_of
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint
from humo.training.claim import claim
from humo.training.distillation.student import make_student, save_student, take_student
from humo.training.distillation.training import (
    DistillationSettings,
    Distiller,
    draw_distillation_batch,
    load_trajectories,
)
from humo.training.run import Run, RunningMeans
from humo.transformer import HuMoTransformer3DModel

_AVERAGED = "averaged.safetensors"
_LONGEST = 13
"""Video latents of the longest trajectories, for which the batch size is given."""


def train_student(
    pipe: HuMoPipeline,
    out: Path,
    settings: DistillationSettings,
    rank: int,
    save_every: int,
    device: str,
    begin: Path | None = None,
) -> Path:
    """Trains a student on the trajectories of `out/trajectories`.

    Args:
        pipe: the teacher.
        out: folder of the distillation.
        settings: of the learning.
        rank: of the adapter.
        save_every: steps between saved states.
        device: "cpu" or "cuda".
        begin: an earlier student, of this model or of one that was trained further since, see `take_student`; a
            training that goes on needs it no more.

    Returns:
        The file of the averaged weights.

    Raises:
        ValueError: if the trajectories, or the student so far, are of another transformer, or `begin` does not fit.
    """
    teacher = fingerprint(pipe.transformer)
    claim(out / "trajectories", teacher, "trajectories")
    claim(out / "learn", teacher, "a student")
    shards = load_trajectories(out / "trajectories", device)
    torch.manual_seed(0)
    run = Run(out / "learn", settings.steps)
    state, student = run.load(), make_student(pipe.transformer, rank)
    if state is None and begin is not None:
        take_student(student, begin)
    distiller = Distiller(student, settings, device)
    if state is not None:
        distiller.load(state["distiller"])
    means = RunningMeans()
    for step in range(0 if state is None else state["step"], settings.steps):
        rng = np.random.default_rng((13, step))
        trajectories = shards[int(rng.integers(len(shards)))]
        size = settings.batch_size * _LONGEST // trajectories.states.shape[3]
        means.update_with(
            distiller.step(draw_distillation_batch(trajectories, rng, settings.spans, size), step / settings.steps)
        )
        if (step + 1) % 10 == 0:
            run.log(step + 1, **means)
        if (step + 1) % save_every == 0 or step + 1 == settings.steps:
            with atomic_write(run.folder / _AVERAGED) as part:  # first, for nothing is done again after the state
                save_file(distiller.averaged(), part)
            run.save(step=step + 1, distiller=distiller.state())
    return run.folder / _AVERAGED


def publish_student(out: Path, model: Path, num_inference_steps: int) -> Path:
    """Writes the trained student beside its model.

    Args:
        out: folder of the distillation.
        model: folder of the model.
        num_inference_steps: that the student makes by default.

    Returns:
        The folder.

    Raises:
        ValueError: if nothing was trained yet, or it is another model's student.
    """
    path = out / "learn" / _AVERAGED
    if not path.is_file():
        raise ValueError(f"{out} has no trained student: run `python -m humo distill student` first.")
    claim(out / "learn", fingerprint(HuMoTransformer3DModel.from_pretrained(model / "transformer")), "a student")
    weights = load_file(path)
    rank = next(len(value) for name, value in weights.items() if name.endswith(DOWN))
    shift = json.loads((model / "scheduler" / "scheduler_config.json").read_text())["flow_shift"]
    config = FastConfig(rank=rank, num_inference_steps=num_inference_steps, shift=shift, teacher=teacher_of(model))
    save_student(weights, config, model / FOLDER)
    return model / FOLDER
