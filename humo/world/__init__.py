"""The procedural world: drawn, talking people with everything that HuMo's training needs, exact and from a seed.

`plan_clip` draws who, where, what is said and with which voice; `render_clip` draws frames and speaks. It takes the
place of HuMo's data pipeline for the mini model, and it is the only place that needs espeak-ng. The paper's data are
real videos; this world is ours. The names below are imported when they are first used: the page reads the world's
words and draws nothing. May import media, system and timing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humo.world.clips import Clip as Clip
    from humo.world.clips import ClipPlan as ClipPlan
    from humo.world.clips import plan_clip as plan_clip
    from humo.world.clips import render_clip as render_clip
    from humo.world.clips import speak_plan as speak_plan

__all__ = ["Clip", "ClipPlan", "plan_clip", "render_clip", "speak_plan"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'humo.world' has no attribute {name!r}")
    return getattr(import_module("humo.world.clips"), name)
