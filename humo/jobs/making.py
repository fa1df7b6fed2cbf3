"""The videos of a list, one after the other or in batches, each as it would be alone. Ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from humo.guidance import PLACES
from humo.jobs.reading import VideoJob
from humo.jobs.report import Failed, Keeper, Made
from humo.requests.checks import check_request, make_request
from humo.space.jobs.request import Defaults
from humo.system.ranges import check_enlarge
from humo.system.threads import begin_threads

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.requests.call import Call
    from humo.sampling import StepState

logger = logging.getLogger(__name__)
OnStep = Callable[["StepState"], None]


@dataclass
class _Batch:
    """Jobs whose videos have the same shape, and their calls."""

    jobs: list[VideoJob] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def takes(self, call: Call, most: int) -> bool:
        """Whether a call may come in."""
        return not self.calls or (len(self.calls) < most and call.shape == self.calls[0].shape)


class Maker:
    """Makes jobs with one loaded pipeline.

    Args:
        pipe: loaded.
        keeper: of the folder.
        most: videos of equal shape that are made together, 1 or more.
        on_step: called after every step of a batch.
    """

    def __init__(self, pipe: HuMoPipeline, keeper: Keeper, most: int = 1, on_step: OnStep | None = None) -> None:
        self._pipe, self._keeper, self._most, self._on_step = pipe, keeper, most, on_step
        self._defaults = Defaults.of_pipeline(pipe)

    def check(self, jobs: Sequence[VideoJob]) -> tuple[list[VideoJob], list[Failed]]:
        """Tell at once what the model cannot make, as far as numbers and texts say.

        Returns:
            The jobs that are left, and the others.
        """
        left, failed = [], list[Failed]()
        for job in jobs:
            request = job.request
            try:
                guided = replace(job, request=replace(request, guidance=self._guidance(job)))
                asked = make_request(
                    self._pipe.config,
                    request.prompt,
                    num_images=len(request.images),
                    num_frames=request.num_frames,
                    seed=request.seed or 0,
                    negative_prompt=request.negative_prompt,
                    height=request.height,
                    width=request.width,
                    num_inference_steps=request.num_inference_steps,
                )
                check_request(asked, self._pipe.config, self._pipe.size_multiple)
                check_enlarge(asked.height, asked.width, job.enlarge)
            except ValueError as error:
                failed.append(_failed(job, error))
            else:
                left.append(guided)
        return left, failed

    def make(self, jobs: Sequence[VideoJob]) -> Iterator[Made | Failed]:
        """Make jobs in their order, those of `check`; neighbours of the same shape together, where that pays."""
        batch = _Batch()
        for job in jobs:
            try:
                call = job.request.read(self._pipe)
            except (ValueError, OSError) as error:
                yield _failed(job, error)
                continue
            if not batch.takes(call, self._most):
                yield from self._run(batch)
                batch = _Batch()
            batch.jobs.append(job)
            batch.calls.append(call)
        if batch.jobs:
            yield from self._run(batch)

    def _run(self, batch: _Batch) -> Iterator[Made | Failed]:
        """Make a batch; where that fails, each of its videos alone, so that one does not spoil the others."""
        began = time.perf_counter()
        begin_threads()
        try:
            videos = self._pipe.generate_batch(batch.calls, self._on_step)
        except Exception as error:  # of any library: memory, a file that is gone
            if len(batch.jobs) > 1:
                for job, call in zip(batch.jobs, batch.calls, strict=True):
                    yield from self._run(_Batch([job], [call]))
                return
            if not isinstance(error, ValueError | OSError):
                logger.exception("Line %d failed.", batch.jobs[0].line)
            yield _failed(batch.jobs[0], error)
            return
        took = (time.perf_counter() - began) / len(videos)
        for job, video in zip(batch.jobs, videos, strict=True):
            yield self._save(job, video.whole(), took)

    def _save(self, job: VideoJob, video: Any, took: float) -> Made | Failed:
        frames = len(video.frames)
        told = {"frames": frames, "seconds": frames / video.fps, "seed": video.seed, "took": round(took, 2)}
        made = Made(job=job, file=self._keeper.file(job), told={**told, "notes": video.notes})
        try:
            self._keeper.begin(job)
            video.save(made.file, job.enlarge)
            self._keeper.keep(made)
        except (ValueError, OSError) as error:
            return _failed(job, error)
        return made

    def _guidance(self, job: VideoJob) -> dict[str, Any]:
        """The rule with the scales; empty for the model's own."""
        if job.rule is None and not job.scales:
            return {}
        if isinstance(job.rule, dict):
            defaults = replace(self._defaults, guidance=job.rule)
        else:
            defaults = self._defaults.with_rule(job.rule)
        if unknown := [name for name in job.scales if defaults.scale(name) is None]:
            field_name = unknown[0] if unknown[0] in PLACES else f"{unknown[0]}_scale"
            raise ValueError(f"guidance {defaults.guidance['rule']} has no {field_name} to set: leave it out.")
        return defaults.with_scales(**job.scales)


def _failed(job: VideoJob, error: BaseException) -> Failed:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    told = lines[0] if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {lines[0]}"
    return Failed(line=job.line, id=job.id, error=f"Line {job.line} cannot be made: {told}")
