"""Cases: people, words and utterances that training never saw, with the prompt of each mode. Ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from PIL import Image

from humo.evaluation.probes.networks import OPTIONS
from humo.world.captions import Caption, compose_caption
from humo.world.clips import Clip, ClipPlan, plan_clip, render_clip
from humo.world.people import IDENTITY_ATTRIBUTES

MODES = ("T", "TI", "TA", "TIA")
"""What is given: text, and in some modes a picture (I) and a sound (A)."""
_PLANS_PER_SEED = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to generate, and the real clip that it is judged by.

    Attributes:
        index: number in its set.
        clip: the rendered truth: frames, reference, sound, mouth curves.
        captions: prompt of each mode.
        is_unnamed: whether the captions of modes with a picture say "a person", which leaves the looks to it.
        noise_seed: of the generation.
    """

    index: int
    clip: Clip
    captions: dict[str, Caption]
    is_unnamed: bool
    noise_seed: int

    @property
    def reference(self) -> Image.Image:
        """The reference picture."""
        return Image.fromarray(self.clip.reference)

    def truth(self, attribute: str) -> str:
        """What an attribute of `humo.world.people` is in this case."""
        plan = self.clip.plan
        return getattr(plan.person if attribute in IDENTITY_ATTRIBUTES else plan.setting, attribute)

    def identity(self) -> tuple[str, ...]:
        """Attributes of the person that show: a bald head has no hair colour."""
        hidden = {"hair_colour"} if self.truth("hair_style") == "bald" else set()
        return tuple(name for name in IDENTITY_ATTRIBUTES if name not in hidden)

    def named(self, mode: str) -> tuple[str, ...]:
        """Attributes that the caption of a mode names."""
        return tuple(name for name in OPTIONS if name in self.captions[mode].named)


def make_cases(
    num_cases: int,
    seed: int = 0,
    split: str = "test",
    num_frames: int = 49,
    size: int = 128,
    has_second: bool = False,
    show: Callable[[int], object] | None = None,
) -> list[Case]:
    """Draws cases.

    Args:
        num_cases: how many.
        seed: another seed gives other plans; the same gives the same cases everywhere.
        split: "test", or "validation" to choose settings such as guidance scales on.
        num_frames: frames of a clip.
        size: side of the frames, pixels.
        has_second: only clips with a second, silent person; by default none of these, because probes read one face.
        show: called with 1 after each case.

    Raises:
        ValueError: if the split is "train", whose clips a model has seen.
    """
    if split == "train":
        raise ValueError("split is 'train', which the model has seen: use 'test' or 'validation'.")
    cases = []
    for index, plan in zip(range(num_cases), _plans(seed, split, has_second), strict=False):
        cases.append(make_case(index, render_clip(plan, num_frames, size), seed))
        if show is not None:
            show(1)
    return cases


def make_case(index: int, clip: Clip, seed: int = 0) -> Case:
    """The case of a clip: captions and noise follow from its number and the seed."""
    rng = np.random.default_rng((21, seed, index))
    is_unnamed = index % 2 == 1
    captions = {mode: _caption(rng, clip.plan, "I" not in mode or not is_unnamed) for mode in MODES}
    return Case(index, clip, captions, is_unnamed, int(rng.integers(2**31)))


def _plans(seed: int, split: str, has_second: bool) -> Iterator[ClipPlan]:
    for number in count(seed * _PLANS_PER_SEED):
        plan = plan_clip(number, split)
        if (plan.distractor == "second") == has_second:
            yield plan


def _caption(rng: np.random.Generator, plan: ClipPlan, is_named: bool) -> Caption:
    person = plan.person if is_named else None
    return compose_caption(rng, person, plan.setting, bool(plan.sentence), plan.distractor)
