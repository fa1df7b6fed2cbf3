"""Words of one's own: what a visitor writes, in the words that the small model knows.

May import the world alone, whose words these are.
"""

from __future__ import annotations

from humo.wording.understanding import Span, Understood, understand

__all__ = ["Span", "Understood", "understand"]
