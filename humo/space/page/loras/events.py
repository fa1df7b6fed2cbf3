"""The events of the choice of LoRAs: what a few-step one asks for is told, and taken at a press."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from humo.loading.lora_files import FEW_STEP_GUIDANCE
from humo.space.page import html
from humo.space.page.events.generating import View
from humo.space.page.loras.view import LoraChoice
from humo.space.page.scales import rule_note
from humo.space.page.widgets import Settings


def on_loras(choice: LoraChoice) -> Callable[[list[str]], View]:
    """Tells what a few-step LoRA among the chosen ones asks for."""

    def tell(names: list[str]) -> View:
        few = choice.few_step(names)
        words = "" if few is None else html.paragraphs([f"{few.sentence}."])
        return {choice.note: gr.update(value=words, visible=bool(words)), choice.take: gr.update(visible=bool(words))}

    return tell


def on_take(choice: LoraChoice, settings: Settings) -> Callable[[list[str]], View]:
    """Sets steps and guidance as a few-step LoRA among the chosen ones asks for."""

    def take(names: list[str]) -> View:
        few = choice.few_step(names)
        if few is None:
            return {settings.steps: gr.skip()}
        rule = str(FEW_STEP_GUIDANCE["rule"])
        defaults = settings.defaults.with_rule(rule)
        words = rule_note(defaults)
        view: View = {
            settings.steps: few.num_inference_steps,
            settings.rule: rule,
            settings.note: gr.update(value=html.note(words), visible=bool(words)),
        }
        for name, slider in settings.scales.items():
            value = FEW_STEP_GUIDANCE.get(name, defaults.scale(name))
            view[slider] = gr.update(visible=False) if value is None else gr.update(value=value, visible=True)
        return view

    return take
