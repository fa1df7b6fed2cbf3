"""Making a video: the task that a Generate button starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from humo.media import write_video
from humo.space.jobs.job import Moment
from humo.space.jobs.request import Defaults, VideoRequest
from humo.space.jobs.time_left import Work, assumed_seconds
from humo.space.temporary import made_again
from humo.system.threads import adjust_threads, begin_threads

if TYPE_CHECKING:
    from humo.layers.decoding import OnFrames
    from humo.pipeline import HuMoPipeline
    from humo.requests.call import Call, HuMoPipelineOutput
    from humo.sampling import StepState

SHOWN_SIDE = 512
"""Small results are enlarged by a whole number up to this many pixels, for players blur small videos."""
MOST_KEPT = 128 << 20
"""Bytes of frames that are kept beside a video, for going on from it."""
PREVIEW_PAUSE = 0.25
"""Seconds from a preview to the next: the page hardly shows more of them (`humo.space.page.events.generating`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A finished video."""

    path: Path
    seed: int
    num_frames: int
    seconds: float
    """Length of the video."""
    has_sound: bool
    notes: tuple[str, ...]
    """What the pipeline wants the visitor to know, in sentences."""
    settings: dict[str, Any]
    """Everything that makes the same video again (`HuMoPipelineOutput.settings`)."""
    kept: Path | None = None
    """The file from which another video can go on; None where none is wanted, or it would be too large."""


class Watcher:
    """What happens to videos that are made together: each step, with previews where they are cheap, and each frame.

    Args:
        pipe: makes them.
        report: told a moment a video at every step, and later the moments of single ones, beside None for the others.
        pause: seconds from a preview to the next at least.
    """

    def __init__(
        self, pipe: HuMoPipeline, report: Callable[[Sequence[Any]], None], pause: float = PREVIEW_PAUSE
    ) -> None:
        self._pipe, self._tell, self._pause = pipe, report, pause
        self._num_videos = self._num_steps = 1
        self._previewed_at, self._preview_cost = -math.inf, 0.0
        begin_threads()

    def __call__(self, state: StepState) -> None:
        """Tell a step, as the pipeline's `on_step`."""
        adjust_threads()
        step = state.index + 1
        self._num_videos, self._num_steps = len(state.clean), state.num_steps
        previews = self._previews(state, step == state.num_steps)
        self._tell([Moment(step, state.num_steps, preview=preview) for preview in previews])

    def frames_of(self, number: int, total: int) -> OnFrames:
        """The pipeline's `on_frames` for one of the videos: it is seen while it is decoded.

        Args:
            number: of the video.
            total: frames it will have.
        """
        num_frames = 0

        def report(frames: np.ndarray) -> None:
            nonlocal num_frames
            adjust_threads()
            num_frames += len(frames)
            moments: list[Moment | None] = [None] * self._num_videos
            words = f"Frame {num_frames} of {total}"
            moments[number] = Moment(self._num_steps, self._num_steps, words, Image.fromarray(frames[-1]))
            self._tell(moments)

        return report

    def _previews(self, state: StepState, is_last: bool) -> list[Image.Image | None]:
        """The pictures of this step; None where the last are new, others cost over a twentieth, or frames follow."""
        now = time.monotonic()
        if is_last or now - self._previewed_at < max(self._pause, 20 * self._preview_cost):
            return [None] * len(state.clean)
        previews: list[Image.Image | None] = [self._pipe.preview(clean[None]) for clean in state.clean]
        self._previewed_at = time.monotonic()
        self._preview_cost = self._previewed_at - now
        return previews


@dataclass(frozen=True, slots=True)
class MakeVideo:
    """A task of `humo.space.jobs.job`: the video of a request.

    Attributes:
        request: what to make.
        path: the mp4 to write.
        kept: the file to write beside it, from which another video can go on (`humo.requests.kept`); None for none.
        notes: what was decided before it was read, in sentences; the result's notes begin with them.
    """

    request: VideoRequest
    path: Path
    kept: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_preemptible(self) -> bool:
        """A quick look does, to whatever its visitor wants next."""
        return self.request.is_fast

    @property
    def batch_key(self) -> Hashable:
        """Equal for videos of the same shape, None for one with LoRAs, or where it cannot be told: `run` tells why."""
        try:
            return None if self.request.loras else self.request.batch_key
        except ValueError:
            return None

    def as_batch(self, others: Sequence[MakeVideo]) -> MakeVideos:
        """This one and others of its kind as one task."""
        return MakeVideos((self, *others))

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Result:
        """Make it and write it.

        Raises:
            ValueError: in one sentence, if any part of the request is not possible.
        """
        with self.request.forming(pipe) as form:
            call = self.request.read(form)
            watcher = Watcher(form, lambda moments: report(moments[0]))
            made = form.generate_batch([call], watcher, [watcher.frames_of(0, call.num_new_frames)])
        return self.write(made[0])

    def write(self, output: HuMoPipelineOutput) -> Result:
        """Write the video that was made, with all that it goes on from."""
        from humo.requests.kept import keep

        output = output.whole()
        is_small = self.request.is_fast  # a quick look leaves the enlarging, a fifth of its time, to the browser
        scale = 1 if is_small else max(1, SHOWN_SIDE // max(output.frames.shape[1:3]))
        write_video(made_again(self.path), output.frames, output.fps, output.audio, output.settings, scale)
        is_small_enough = output.frames.nbytes <= MOST_KEPT
        return Result(
            path=self.path,
            seed=output.seed,
            num_frames=len(output.frames),
            seconds=len(output.frames) / output.fps,
            has_sound=output.audio is not None,
            notes=(*self.notes, *output.notes),
            settings=output.settings,
            kept=keep(output, made_again(self.kept)) if self.kept is not None and is_small_enough else None,
        )

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU."""
        return expected_seconds(pipe, self.request)


@dataclass(frozen=True, slots=True)
class MakeVideos:
    """Several videos as one batch; what is told are tuples, as `humo.space.jobs.job.Batchable` says.

    Attributes:
        tasks: of one kind.
    """

    tasks: tuple[MakeVideo, ...]

    def run(self, pipe: HuMoPipeline, report: Callable[[tuple[Any, ...]], None]) -> tuple[None, ...]:
        """Make and write them; each is told its result, or its error, as soon as there is one."""
        pipe = self.tasks[0].request.made_by(pipe)
        calls: dict[int, Call] = {}
        for index, task in enumerate(self.tasks):
            try:
                calls[index] = task.request.read(pipe)
            except ValueError as error:
                report(self._only({index: error}))
        if not calls:
            return self._only({})
        watcher = Watcher(pipe, lambda moments: report(self._only(dict(zip(calls, moments, strict=True)))))
        seen = [watcher.frames_of(number, call.num_new_frames) for number, call in enumerate(calls.values())]
        for index, output in zip(calls, pipe.generate_batch(list(calls.values()), watcher, seen), strict=True):
            report(self._only({index: self.tasks[index].write(output)}))
        return self._only({})

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU."""
        return sum(task.seconds(pipe) for task in self.tasks)

    def _only(self, by_index: Mapping[int, Any]) -> tuple[Any, ...]:
        return tuple(by_index.get(index) for index in range(len(self.tasks)))


def work_of(request: VideoRequest, defaults: Defaults) -> Work:
    """What of a request decides its time, a model's defaults filling in what it leaves out.

    A sound whose length nobody has read yet counts as the longest video that the model was trained for.
    """
    height, width = defaults.size
    return Work(
        num_inference_steps=request.num_inference_steps or defaults.num_inference_steps,
        num_frames=request.num_frames or defaults.trained_frames or defaults.num_frames,
        height=request.height or height,
        width=request.width or width,
        num_images=len(request.images),
        has_audio=request.audio is not None,
        guidance=request.guidance or defaults.guidance,
        trained_frames=defaults.trained_frames,
    )


def expected_seconds(pipe: HuMoPipeline, request: VideoRequest) -> float:
    """Seconds of the denoising of a request's video on a GPU of the speed that `humo.loading.estimates` assumes."""
    from humo.loading.estimates import sizes_of_pipeline

    return assumed_seconds(sizes_of_pipeline(pipe), work_of(request, Defaults.of_pipeline(pipe)))
