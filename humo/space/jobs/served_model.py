"""The model behind the page: what is known of it before it is loaded, and how long its videos take."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from humo.media import warm_up
from humo.portrait import Portrait, draw_portrait
from humo.space.compiling import take_compiled
from humo.space.environment import read_compile
from humo.space.jobs.job import Model
from humo.space.jobs.model_choice import folder_of, load_model
from humo.space.jobs.request import Defaults, VideoRequest
from humo.space.jobs.task import Result, work_of
from humo.space.jobs.time_left import Pace, Work
from humo.system.digests import fingerprint_folder
from humo.system.fast_form_config import has_fast

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.space.jobs.model_choice import LoadedModel

logger = logging.getLogger(__name__)


@dataclass
class ServedModel:
    """A model, loaded or on its way.

    Attributes:
        name: "mini", "1.7B", "17B", or the name of a folder.
        defaults: what it recommends.
        fingerprint: of its weights; empty where there are none on disk to look at.
        model: makes the videos.
        notice: why another model serves than the one asked for; empty if it is that one.
        device: "cpu" or "cuda", once it is known.
        has_fast: whether it has a fast form, for quick looks.
        source: what `load_model` makes it from once more: a name, or the folder of a saved pipeline.
    """

    name: str
    defaults: Defaults
    fingerprint: str
    model: Model
    notice: str = ""
    device: str = "cpu"
    has_fast: bool = False
    source: str = ""
    _pace: Pace = field(default_factory=Pace)

    @classmethod
    def open(cls, wanted: str) -> ServedModel:
        """Find a model. Mini and folders are described by their files and loaded later, when `model` is asked to.

        The published ones are loaded at once: whether they can serve here decides what the page offers.

        Args:
            wanted: as `humo.space.jobs.model_choice.wanted_model` returns it.

        Raises:
            ValueError: in one sentence, if there is no such model.
        """
        if (folder := folder_of(wanted)) is None:
            return cls._of_served(load_model(wanted))
        name = wanted if not Path(wanted).is_dir() else Path(wanted).resolve().name
        model = Model(lambda: serving._prepare(load_model(wanted)))
        defaults, fingerprint = Defaults.of_folder(folder), fingerprint_folder(folder)
        serving = cls(name, defaults, fingerprint, model, has_fast=has_fast(folder), source=wanted)
        return serving

    @classmethod
    def of_pipeline(cls, pipe: HuMoPipeline, name: str) -> ServedModel:
        """A pipeline that is loaded already."""
        serving = cls(name, Defaults.of_pipeline(pipe), "", Model(lambda: pipe), device=pipe.device.type)
        serving.has_fast = pipe.fast_form is not None
        return serving

    @classmethod
    def _of_served(cls, served: LoadedModel) -> ServedModel:
        serving = cls.of_pipeline(served.pipe, served.name)
        serving.notice, serving.source = served.note, served.name
        serving.model = Model(lambda: serving._prepare(served))
        folder = folder_of(served.name)
        serving.fingerprint = "" if folder is None else fingerprint_folder(folder)
        return serving

    def _prepare(self, served: LoadedModel) -> HuMoPipeline:
        """The pipeline, with all that would make its first visitor wait."""
        self.device = served.device
        try:
            warm_up()
            if self.defaults.draws_people:
                draw_portrait(Portrait())  # numba begins its compiler at the first drawing
        except Exception as error:  # whatever it is: text alone needs none of it
            logger.warning("The warm-up failed, other sounds than at 16 kHz and drawings may fail: %s", error)
        if read_compile(os.environ):
            take_compiled(served.pipe)
        return served.pipe

    def learn(self, result: Result, seconds: float) -> None:
        """Take note of how long a video of full quality took, loading not included."""
        work = Work.of_settings(result.settings, self.defaults.trained_frames)
        self._pace.learn(self.name, self.device, work, seconds)

    def predict(self, request: VideoRequest) -> float | None:
        """Seconds that a video will take; None as long as nothing is known."""
        return self._pace.predict(self.name, self.device, work_of(request, self.defaults))
