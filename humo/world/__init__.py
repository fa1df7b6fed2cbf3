"""The procedural world: drawn, talking people with everything that HuMo's training needs, exact and from a seed.

`plan_clip` draws who, where, what is said and with which voice; `render_clip` draws frames and speaks. It takes the
place of HuMo's data pipeline for the mini model, and it is the only place that needs espeak-ng. The paper's data are
real videos; this world is ours.
"""

from humo.world.clips import Clip, ClipPlan, plan_clip, render_clip, speak_plan

__all__ = ["Clip", "ClipPlan", "plan_clip", "render_clip", "speak_plan"]
