"""The choice of LoRAs in the settings: of those in the folder that whoever runs the page names in HUMO_LORAS. Ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from humo.loading.lora_files import FewStep, LoraFile, find_few_step
from humo.space.links.settings import MOST_LORAS, LoraTold
from humo.system.digests import digest_file
from humo.system.ranges import check_number, short

STRONGEST = 2.0
"""Weight that a visitor can give."""


@dataclass(frozen=True)
class LoraChoice:
    """The widgets, and what there is to choose from."""

    names: gr.Dropdown
    weight: gr.Slider
    note: gr.HTML
    """What a few-step LoRA asks for."""
    take: gr.Button
    """Takes its settings."""
    files: Mapping[str, Path]

    def widgets(self) -> list[Any]:
        """Those that hold a value of the request."""
        return [self.names, self.weight]

    def chosen(self, values: Any) -> tuple[LoraFile, ...]:
        """The LoRAs that the widgets' values name.

        Raises:
            ValueError: if a name or the weight is none that is offered.
        """
        names, weight = values[self.names] or [], values[self.weight]
        if not isinstance(names, list) or len(names) > MOST_LORAS or any(name not in self.files for name in names):
            raise ValueError(f"the LoRAs are {short(names)}: choose at most {MOST_LORAS} of those that are offered.")
        check_number("the LoRAs' weight", weight, 0.0, STRONGEST)
        return tuple(LoraFile(self.files[name], float(weight)) for name in names)

    def few_step(self, names: Sequence[str] | None) -> FewStep | None:
        """What a few-step LoRA among the named ones asks for; None if none of them is one."""
        return find_few_step(self.files[name] for name in names or () if name in self.files)

    def restored(self, loras: Sequence[LoraTold]) -> tuple[dict[Any, Any], list[str]]:
        """Updates that choose a video's LoRAs again, and the names of those that are not here.

        One weight is restored for all, the first one's.
        """
        here = [each for each in loras if _is_here(each, self.files)]
        weight = min(STRONGEST, max(0.0, here[0].weight)) if here else 1.0
        view = {self.names: [each.name for each in here], self.weight: weight}
        return view, [each.name for each in loras if each not in here]


def lora_choice(files: Mapping[str, Path]) -> LoraChoice:
    """Lay the widgets out.

    Args:
        files: LoRAs by name, at least one.
    """
    with gr.Accordion("LoRAs", open=False, elem_id="loras-box"):
        names = gr.Dropdown(list(files), value=[], multiselect=True, label="LoRAs", elem_id="loras")
        weight = gr.Slider(0, STRONGEST, value=1, step=0.05, label="Their weight", elem_id="lora-weight")
        note = gr.HTML(visible=False, elem_id="lora-note")
        take = gr.Button("Take these settings", size="md", visible=False, elem_id="lora-take")
    return LoraChoice(names, weight, note, take, files)


def _is_here(told: LoraTold, files: Mapping[str, Path]) -> bool:
    path = files.get(told.name)
    return path is not None and path.is_file() and told.sha256 in ("", digest_file(path))
