"""Words of one's own: what a visitor writes, in the words that the small model knows."""

from __future__ import annotations

from humo.wording.understanding import Span, Understood, understand

__all__ = ["Span", "Understood", "understand"]
