"""What a job does for a dub: finds the region, or makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from humo.dubbing import PROMPT
from humo.dubbing.shape import Part, Shape
from humo.media import write_video
from humo.space.jobs.job import Moment
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import Result, Watcher, expected_seconds
from humo.space.links.settings import read_settings
from humo.space.temporary import made_again

if TYPE_CHECKING:
    from humo.dubbing.clip import Clip
    from humo.pipeline import HuMoPipeline


MOST_PIXELS = 1920 * 1080
"""Of a clip's frame: the longest clip of frames as large takes a few GiB of memory, one of 4K four times as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What somebody asks for."""

    clip: Path
    audio: Path
    part: Part
    margin: float
    """Per cent of the clip's height."""
    sides: tuple[float, float, float, float]
    """Per cent of the clip's height: further left, up, right, down."""
    hold: bool
    seed: int

    @property
    def request(self) -> VideoRequest:
        """As far as it is a request for a video: what limits and expected times are about."""
        return VideoRequest(prompt=PROMPT, audio=self.audio, seed=self.seed)

    def read(self, pipe: HuMoPipeline) -> tuple[Clip, Shape]:
        """The clip, and the region's shape in its pixels.

        Raises:
            ValueError: if the clip cannot be dubbed, or a number is none that can be.
        """
        from humo.dubbing.clip import read_clip_to_dub

        is_drawn = is_made_here(self.clip)
        clip = read_clip_to_dub(self.clip, pipe.config, pipe.size_multiple, is_drawn, MOST_PIXELS)
        unit = clip.frames.shape[1] / 100
        left, top, right, bottom = (side * unit for side in self.sides)
        return clip, Shape(part=self.part, margin=self.margin * unit, sides=(left, top, right, bottom))


def is_made_here(clip: Path) -> bool:
    """Whether a clip's own data say that it was made so: what is soft in it is no photograph."""
    try:
        read_settings(clip)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class FindRegion:
    """A task of `humo.space.jobs.job`: what would be made anew."""

    wish: Wish

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Image.Image:
        """Find it; frames of the clip with the region laid over."""
        from humo.dubbing.dub import find_region
        from humo.explain.regions import show_region, strip

        report(Moment(0, 1, "Looking for the face"))
        clip, shape = self.wish.read(pipe)
        held, region = find_region(pipe, clip, self.wish.audio, shape, self.wish.hold)
        return strip(show_region(held.frames, region))

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU: one pass of the network."""
        return expected_seconds(pipe, self.wish.request) / 10


@dataclass(frozen=True, slots=True)
class DubClip:
    """A task of `humo.space.jobs.job`: a clip with another voice."""

    wish: Wish
    path: Path

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Result:
        """Make and write it."""
        from humo.dubbing.dub import dub

        clip, shape = self.wish.read(pipe)
        watcher = Watcher(pipe, lambda moments: report(moments[0]))
        wish = self.wish
        video = dub(pipe, clip, wish.audio, shape=shape, hold=wish.hold, seed=wish.seed, on_step=watcher)
        write_video(made_again(self.path), video.frames, video.fps, video.audio, video.settings)
        return Result(
            path=self.path,
            seed=video.seed,
            num_frames=len(video.frames),
            seconds=len(video.frames) / video.fps,
            has_sound=True,
            notes=tuple(video.notes),
            settings=video.settings,
        )

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU."""
        return expected_seconds(pipe, self.wish.request)
