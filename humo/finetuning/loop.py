"""The training: weights, batches, steps, log, states to go on from, and the finished folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from humo.finetuning.checkpoint import check_state, find_states, load_state, read_state, save_state
from humo.finetuning.dataset.batch import TrainingBatch
from humo.finetuning.export import export
from humo.finetuning.model import (
    FinetuneModel,
    learned,
    make_average,
    make_optimizer,
    prepare_model,
    set_rates,
)
from humo.finetuning.objective import (
    check_batch,
    count_faces,
    draw_random,
    flow_loss,
    make_model_inputs,
    on_grid,
    shared_focus_loss,
)
from humo.finetuning.processes import is_split, loads_nothing
from humo.finetuning.settings import FinetuneSettings, paper_stage
from humo.finetuning.source import NullVideo, Source, load_focus_head, load_transformer
from humo.focus import mask_iou
from humo.system.fingerprint import fingerprint_frozen
from humo.training.run import Run
from humo.training.transformer.stages import audio_share

logger = logging.getLogger(__name__)


class Data(Protocol):
    """What a training reads; `humo.finetuning.dataset.loader.PreparedDataset` is one."""

    def batches(
        self, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> Iterator[TrainingBatch]:
        """Endless batches of this process, of which `start` have been seen."""


class Finetuning:
    """A training that is built, resumed if its folder holds a state, and run.

    Args:
        settings: of the stage.
        source: where the weights begin.
        data: prepared clips.
        out: folder of the run.
        accelerator: from `humo.finetuning.processes.make_accelerator`.
        **audio: audio arguments of the transformer, for a Wan that is to get others than the published ones.

    Raises:
        ValueError: if the weights do not fit, or the folder holds another training.
    """

    def __init__(
        self,
        settings: FinetuneSettings,
        source: Source,
        data: Data,
        out: Path,
        accelerator: Accelerator,
        **audio: Any,
    ) -> None:
        self.settings, self.source, self.data, self.out, self.accelerator = settings, source, data, out, accelerator
        self.stage, self.step = paper_stage(settings), 0
        torch.manual_seed(settings.seed)
        transformer = load_transformer(
            source, settings.condition_channels, is_empty=loads_nothing(accelerator), **audio
        )
        focus_head = load_focus_head(source, transformer, settings.focus_hidden_dim) if settings.has_focus else None
        model = FinetuneModel(transformer, focus_head)
        prepare_model(model, settings)
        self.config = transformer.config
        needs_null = self.config.in_channels != self.config.out_channels
        self.null_video = NullVideo(source) if needs_null else None
        self.frozen = _from_main(accelerator, fingerprint_frozen(model) if accelerator.is_main_process else None)
        self.num_parameters = sum(p.numel() for p in model.parameters())
        self.num_learned = sum(p.numel() for p in learned(model).values())
        self.held_bytes = _held_bytes(model, settings) // (accelerator.num_processes if is_split(accelerator) else 1)
        self.model, self.optimizer = accelerator.prepare(model, make_optimizer(model, settings))
        self.average = make_average(self.model, settings)
        self._resume()

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.accelerator.is_main_process

    def run(self, stop_at: int | None = None) -> None:
        """Trains to the end, or to an earlier step from which the same command goes on.

        Args:
            stop_at: step after which to stop, for machines that are lent for a time; None for the stage's end.
        """
        end = min(self.settings.steps, stop_at or self.settings.steps)
        run = Run(self.out, self.settings.steps) if self.is_main else None
        self.accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": self.step}})
        batches = self.data.batches(
            self.settings.batch_size,
            self.settings.seed,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            start=self.step * self.settings.accumulation,
        )
        while self.step < end:
            figures = self._train_step(batches)
            self.step += 1
            if self.step % self.settings.log_every == 0 or self.step == end:
                self._log(run, figures)
            if self.step % self.settings.checkpoint_every == 0 or self.step == end:
                self._save()
        if self.step == self.settings.steps:
            self._export()
        self.accelerator.end_training()

    def _train_step(self, batches: Iterator[TrainingBatch]) -> dict[str, Tensor | float]:
        """One step of the optimiser, over as many batches as are accumulated."""
        began = time.monotonic()
        rate = set_rates(self.optimizer, self.step, self.settings.warmup_steps)
        share = audio_share(self.stage, self.step / self.settings.steps)
        figures: dict[str, Tensor | float] = {}
        for part in range(self.settings.accumulation):
            batch = next(batches)
            check_batch(batch, self.config)
            with self.accelerator.accumulate(self.model):
                loss, parts = self._loss(batch, self.step * self.settings.accumulation + part, share)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    norm = self.accelerator.clip_grad_norm_(learned(self.model).values(), self.settings.max_grad_norm)
                    figures["norm"] = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
                self.optimizer.step()
                self.optimizer.zero_grad()
            for name, value in parts.items():
                figures[name] = figures.get(name, 0.0) + value / self.settings.accumulation
        if self.average is not None:
            self.average.step(learned(self.model).values())
        return figures | {"audio_share": share, "rate": rate, "seconds": time.monotonic() - began}

    def _loss(self, batch: TrainingBatch, number: int, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch in this process, and its parts."""
        device, settings = self.accelerator.device, self.settings
        first = self.accelerator.process_index * settings.batch_size
        draws = draw_random(batch, settings, share, number, first).to(device)
        batch = batch.to(device)
        black = None
        if self.null_video is not None:
            _, _, num_latents, rows, columns = draws.noise.shape
            black = self.null_video(num_latents, rows, columns, device)
        inputs = make_model_inputs(batch, draws, self.config.in_channels, settings, black)
        with self.accelerator.autocast():
            predicted, logits = self.model(*inputs.arguments())
        flow = flow_loss(predicted, inputs.velocity)
        parts = {"flow": flow.detach()}
        loss = flow
        if logits is not None:
            logits = logits[:, : batch.latents.shape[2]]
            face = on_grid(inputs.face, logits)
            num_faces = float(self.accelerator.reduce(count_faces(face), "sum"))
            focus = shared_focus_loss(logits, face, num_faces, self.accelerator.num_processes)
            loss = flow + settings.focus_weight * focus
            parts |= {"focus": focus.detach(), "iou": mask_iou(logits.detach(), face)}
        return loss, {"loss": loss.detach(), **parts}

    def _log(self, run: Run | None, figures: dict[str, Tensor | float]) -> None:
        """The means over the processes, to TensorBoard and log.jsonl."""
        tensors = {name: value for name, value in figures.items() if isinstance(value, Tensor)}
        means = self.accelerator.reduce(torch.stack([value.float() for value in tensors.values()]), "mean")
        values = {**figures, **dict(zip(tensors, means.tolist(), strict=True))}
        self.accelerator.log(values, step=self.step)
        if run is not None:
            run.log(self.step, **values)

    def _resume(self) -> None:
        """Takes up the last state of the run's folder, if there is one."""
        found = find_states(self._states)
        if not found:
            return
        state = read_state(found[-1])
        check_state(state, self.settings, self.accelerator.num_processes, self.frozen)
        load_state(found[-1], self.model, self._optimizer, self.average)
        self.step = state["step"]
        if self.average is not None:
            self.average.optimization_step = self.step
        logger.info("Going on after step %d.", self.step)

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        state = {
            "step": self.step,
            "settings": self.settings.describe(),
            "processes": self.accelerator.num_processes,
            "frozen": self.frozen,
        }
        keep = self.settings.keep_checkpoints
        save_state(self._states, self.model, self._optimizer, self.average, state, keep, self.is_main)
        self.accelerator.wait_for_everyone()

    def _export(self) -> None:
        record = {
            "steps": self.step,
            "clips": self.step * self.settings.accumulation * self.settings.batch_size * self.accelerator.num_processes,
            "source": self.source.name,
            "learned_parameters": self.num_learned,
            "parameters": self.num_parameters,
        }
        export(self.out, self.model, self.average, self.settings, self.null_video, record, self.is_main)
        self.accelerator.wait_for_everyone()

    @property
    def _states(self) -> Path:
        return self.out / "states"

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        """The optimiser itself, which accelerate wraps."""
        return getattr(self.optimizer, "optimizer", self.optimizer)


def _held_bytes(model: FinetuneModel, settings: FinetuneSettings) -> int:
    """Bytes of the weights, and of gradient, two moments and average of what learns."""
    copies = 4 if settings.ema_decay else 3
    further = sum(copies * parameter.nbytes for parameter in learned(model).values())
    return further + sum(parameter.nbytes for parameter in model.parameters())


def _from_main(accelerator: Accelerator, value: Any) -> Any:
    """A plain value of the first process, in all of them."""
    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value
