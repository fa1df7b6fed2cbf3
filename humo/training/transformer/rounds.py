"""Rounds of the model's training: the first one from nothing, and further ones, each with a learning rate that rises
and falls. A stopped round goes on as what it was. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from humo.training.compiling import LONG_MINUTES, LONG_STEPS
from humo.training.pace import Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopSettings:
    """How the model's training runs; what it learns from is said by `VoiceBatchSettings` and the stages."""

    steps: int | None = 6000
    """Training steps in all; a resumed run may ask for more. None trains for some minutes."""
    minutes: float | None = None
    """How long it may take; counts in place of the steps. An interrupted run goes on with what is left."""
    further: bool = False
    """Whether a trained model goes through a further round, in which the learning rate rises and falls anew."""
    detail: bool = False
    """Whether that round teaches a detail head alone, which the model is given if it has none."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    tokens: int = 3000
    """Tokens a step."""
    learning_rate: float = 2.5e-3
    """Peak rate."""
    audio_share: float = 0.5
    """Share of the sync task at the end."""
    layers: int = 6
    """Blocks of a new transformer."""
    processes: int = 0
    """That write captions ahead."""
    compile: bool | None = None
    """Whether the blocks are compiled, which takes some minutes; None compiles for long runs on a CPU."""
    save_every: int = 200
    """Steps between saved states."""
    sheet_every: int = 600
    """Steps between sample sheets; 0 draws none."""
    sheet_cases: int = 4
    """Rows of a sheet are three modes of so many cases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """The round that a run begins or goes on with."""

    first: int
    """Step at which the round begins."""
    step: int
    """Step at which this run begins."""
    further: bool
    """Whether it is a further round of a trained model."""
    detail: bool
    """Whether its detail head alone learns."""
    spent: float
    """Seconds that the round took before this run."""
    steps: int | None
    """Step at which it ends; None goes by minutes."""
    minutes: float | None
    """That it may take."""

    @classmethod
    def of(cls, state: dict[str, Any] | None, settings: LoopSettings) -> Round:
        """The round that follows from a folder's state and what is asked for.

        Raises:
            ValueError: in one sentence, if the training cannot go on like this.
        """
        if settings.steps is None and settings.minutes is None:
            raise ValueError("give either the steps at which a training ends or the minutes that it may take.")
        asked: dict[str, Any] = {"steps": None if settings.minutes else settings.steps, "minutes": settings.minutes}
        if state is None:
            if settings.further or settings.detail:
                raise ValueError("a further round needs a trained model: train without it first, or `train start`.")
            return cls(first=0, step=0, further=False, detail=False, spent=0.0, **asked)
        step, before = state["step"], state.get("round")
        if before is not None and not before["is_over"]:  # it was stopped, and goes on as what it was
            kind = {"further": before["further"], "detail": before.get("detail", False)}
            return cls(first=before["first"], step=step, spent=before["spent"], **kind, **asked)
        if settings.further or settings.detail:
            if asked["steps"] is not None and asked["steps"] <= step:
                raise ValueError(f"the model has had {step} steps: ask for more --steps, or for --minutes.")
            return cls(first=step, step=step, further=True, detail=settings.detail, spent=0.0, **asked)
        if settings.minutes or (before is not None and before["further"]):
            raise ValueError(f"this training has ended, after {step} steps: ask for another round with --further.")
        return cls(first=0, step=step, further=False, detail=False, spent=0.0, **asked)

    @property
    def is_long(self) -> bool:
        """Whether what is left of it is worth a compiler's minutes."""
        if self.steps is not None:
            return self.steps - self.step >= LONG_STEPS
        return (self.minutes or 0.0) - self.spent / 60 >= LONG_MINUTES

    def pace(self) -> Pace:
        """The clock of the round, which runs from now on."""
        return Pace(self.first, self.steps, self.minutes, self.spent)

    def state(self, pace: Pace, is_over: bool) -> dict[str, Any]:
        """What a later run has to know."""
        kind = {"further": self.further, "detail": self.detail}
        return {"first": self.first, **kind, "spent": pace.seconds, "is_over": is_over}
