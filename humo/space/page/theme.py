"""The page's own look: ink and indigo on warm paper, and the same at night.

No font or style sheet comes from elsewhere. Text has a contrast of 4.5 or more on its ground in both schemes,
which Gradio's own themes miss in places (subdued text in light, white on orange in dark).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color

_HERE = Path(__file__).parent
CSS = [_HERE / "page.css", _HERE / "inside.css", _HERE.parent / "live" / "player.css"]
ICON = Path(__file__).with_name("icon.png")
ICON_LINK = '<link rel="icon" href="favicon.ico">'
"""From the page's own path: without it browsers ask at the root of the host, which a proxy may have given away."""

_SANS = [
    "Inter",
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "DejaVu Sans",
    "sans-serif",
]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"]

# fmt: off
_INDIGO = Color("#eef0ff", "#e0e3ff", "#c7ccfe", "#a8aefb", "#888cf6", "#6b68ee", "#5348de", "#463ac2", "#3a329d",
                "#332f7d", "#1f1c49", name="indigo")
_PAPER = Color("#faf9f6", "#f3f1ec", "#e5e2da", "#d0ccc2", "#7d776e", "#716c63", "#57534b", "#423f39", "#2a2825",
               "#1c1b19", "#121110", name="paper")
# fmt: on


def make_theme() -> gr.themes.Base:
    """The theme for `launch(theme=...)`."""
    theme = gr.themes.Base(
        primary_hue=_INDIGO,
        secondary_hue=_INDIGO,
        neutral_hue=_PAPER,
        font=_SANS,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_lg,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_background_fill="white",
        block_label_background_fill_dark="*neutral_900",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_500",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_300",
        slider_color="*primary_600",
        slider_color_dark="*primary_300",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_200",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="white",
        button_primary_text_color_dark="*primary_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        button_cancel_background_fill="#b3261e",
        button_cancel_background_fill_hover="#8f1d17",
        button_cancel_background_fill_dark="#ffb4ab",
        button_cancel_background_fill_hover_dark="#ffd2cd",
        button_cancel_text_color="white",
        button_cancel_text_color_dark="#410002",
        button_border_width="1px",
        button_border_width_dark="1px",
        color_accent="*primary_500",
        loader_color="*primary_600",
        loader_color_dark="*primary_300",
    )
