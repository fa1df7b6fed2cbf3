"""The page's input of a picture.

Alone in its file: gradio writes a .pyi beside a module that has a subclass of its components, which git ignores and
type checkers read in the module's place.
"""

from __future__ import annotations

from typing import Any

import gradio as gr


class PictureFile(gr.Image):
    """A picture as the file it came in: gradio would decode it, and say only "Error" if it is damaged."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """Path of the upload, unread."""
        return payload.path if payload is not None else None
