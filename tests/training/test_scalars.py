"""The scales that a student is told, and those with which its teacher's trajectories are drawn.

Run: python -m pytest tests/training/test_scalars.py
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from humo.guidance import constant, paper, published_17b
from humo.layers.guidance_embedding import guidance_scalars
from humo.training.distillation.trajectories import draw_scales


def test_the_scalars_are_the_rules_scales_and_the_way_to_go() -> None:
    assert guidance_scalars(constant(2.0, 3.0, 4.0), 0.9, 0.7) == pytest.approx((2.0, 3.0, 4.0, 0.2))
    switching = paper(1.0, 1.0, 1.0, early=(5.0, 3.0, 1.0), switch=900.0)
    assert guidance_scalars(switching, 1.0, 0.95)[:3] == pytest.approx((5.0, 3.0, 1.0))
    assert guidance_scalars(switching, 0.95, 0.85)[:3] == pytest.approx((3.0, 2.0, 1.0)), "half of the way each"
    with pytest.raises(ValueError, match="published_17b: choose"):
        guidance_scalars(published_17b(), 1.0, 0.9)


def test_scales_end_where_the_models_own_guidance_does() -> None:
    rule = {"rule": "paper", "text": 3.0, "image": 3.0, "audio": 3.0, "switch": 900.0}
    places = torch.tensor([990.0, 800.0, 600.0, 599.0, 10.0])
    for until in (0.0, 600.0):
        scales = draw_scales(np.random.default_rng(0), rule | {"until": until}, places, 400)
        alone = (scales[3:] == 1).all(-1).all(0)  # samples that nothing steers at the end
        share = float(alone.float().mean())
        assert 0.6 < share < 0.8 if until else 0.1 < share < 0.25, share
        assert not (scales[0] == 1).all(-1).any(), "the beginning is always steered"
