"""Making a video: the task that a Generate button starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from humo.media import write_video
from humo.space.accelerator import expected_seconds
from humo.space.jobs import Moment
from humo.space.pace import Work
from humo.space.request import Defaults, VideoRequest

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState

SHOWN_SIDE = 512
"""Small results are enlarged by a whole number up to this many pixels, for players blur small videos."""


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


class Watcher:
    """A pipeline's `on_step` that tells each step, with a preview where that is cheap.

    Args:
        pipe: whose steps they are.
        tell: told each step.
    """

    def __init__(self, pipe: HuMoPipeline, tell: Callable[[Moment], None]) -> None:
        self._pipe, self._tell = pipe, tell
        self._previewed_at, self._preview_cost = time.monotonic(), 0.0

    def __call__(self, state: StepState) -> None:
        """Tell a step."""
        step = state.index + 1
        self._tell(Moment(step, state.num_steps, preview=self._preview(state, step == state.num_steps)))

    def _preview(self, state: StepState, is_last: bool) -> Image.Image | None:
        """The picture of this step; None where a new one would slow the job by over a tenth."""
        now = time.monotonic()
        if now - self._previewed_at < 10 * self._preview_cost and not is_last:
            return None
        preview = self._pipe.preview(state.clean)
        self._previewed_at = time.monotonic()
        self._preview_cost = self._previewed_at - now
        return preview


@dataclass(frozen=True, slots=True)
class MakeVideo:
    """A task of `humo.space.jobs`: the video of a request.

    Attributes:
        request: what to make.
        path: the mp4 to write.
    """

    request: VideoRequest
    path: Path

    @property
    def gives_way(self) -> bool:
        """A quick look does, to whatever its visitor wants next."""
        return self.request.is_fast

    def run(self, pipe: HuMoPipeline, tell: Callable[[Moment], None]) -> Result:
        """Make it and write it.

        Raises:
            ValueError: in one sentence, if any part of the request is not possible.
        """
        output = self.request.run(pipe, Watcher(pipe, tell))
        is_small = self.request.is_fast  # a quick look leaves the enlarging, a fifth of its time, to the browser
        scale = 1 if is_small else max(1, SHOWN_SIDE // max(output.frames.shape[1:3]))
        write_video(self.path, output.frames, output.fps, output.audio, output.settings, scale)
        return Result(
            path=self.path,
            seed=output.seed,
            num_frames=len(output.frames),
            seconds=len(output.frames) / output.fps,
            has_sound=output.audio is not None,
            notes=tuple(output.notes),
            settings=output.settings,
        )

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU."""
        return expected_seconds(pipe, work_of(self.request, Defaults.of_pipeline(pipe)))


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
