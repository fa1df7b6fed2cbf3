"""Focus-by-predicting: the head's grid, Eq. 3 by hand, the measure."""

from __future__ import annotations

import math

import pytest
import torch

from humo.focus import FaceMaskPredictor, face_mask_loss, mask_iou


@pytest.mark.parametrize("hidden_dim", [None, 12])
def test_prediction_is_the_mean_over_blocks_on_the_latent_grid(hidden_dim: int | None) -> None:
    head = FaceMaskPredictor(dim=8, num_blocks=2, hidden_dim=hidden_dim)
    attended = [torch.randn(2, 3 * 2 * 5, 8) for _ in range(2)]
    logits = head(attended, grid=(3, 2, 5))
    assert logits.shape == (2, 3, 4, 10)
    mean = sum(readout(states) for readout, states in zip(head.readouts, attended, strict=True)) / 2
    token = mean.view(2, 3, 2, 5, 2, 2)[0, 1, 1, 4]  # frame 1, last row, last column of the token grid
    torch.testing.assert_close(logits[0, 1, 2:, 8:], token)


def test_prediction_refuses_what_does_not_fit() -> None:
    head = FaceMaskPredictor(dim=8, num_blocks=2)
    with pytest.raises(ValueError, match="reads 2 blocks"):
        head([torch.randn(1, 4, 8)], grid=(1, 2, 2))
    with pytest.raises(ValueError, match="needs 6"):
        head([torch.randn(1, 4, 8)] * 2, grid=(1, 2, 3))


def test_loss_equals_equation_3_by_hand() -> None:
    """One of four pixels is a face: weight 4 / 1; BCE is log 2 at logit 0 and log(1 + e) for a wrong 1."""
    logits = torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    by_hand = 4 / 1 * (3 * math.log(2) + math.log(1 + math.e)) / 4
    assert face_mask_loss(logits, target).item() == pytest.approx(by_hand, rel=1e-6)


def test_small_faces_weigh_as_much_as_large_ones_and_empty_frames_nothing() -> None:
    target = torch.zeros(1, 3, 4, 4)
    target[0, 0, 0, 0] = 1
    target[0, 1] = 1
    loss = face_mask_loss(torch.full_like(target, -2.0).requires_grad_(), target)
    by_frame = [face_mask_loss(torch.full((1, 1, 4, 4), -2.0), target[:, k : k + 1]) for k in range(2)]
    assert loss.item() == pytest.approx(sum(by_frame).item() / 2)
    loss.backward()
    empty = torch.zeros(1, 1, 4, 4)
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    face_mask_loss(logits, empty).backward()
    assert face_mask_loss(logits, empty) == 0
    assert (logits.grad == 0).all()
    assert face_mask_loss(logits.bfloat16(), target[:, :1]).dtype == torch.float32


def test_iou_counts_frames_with_a_face() -> None:
    target = torch.zeros(1, 2, 2, 2)
    target[0, 0, 0] = 1
    logits = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    assert mask_iou(logits, target).item() == pytest.approx(1 / 3)
    assert mask_iou(target * 2 - 1, target) == 1
    assert mask_iou(logits, torch.zeros_like(target)) == 0


def test_different_shapes_are_refused() -> None:
    for measure in (face_mask_loss, mask_iou):
        with pytest.raises(ValueError, match="same shape"):
            measure(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 5))


def test_round_trip(tmp_path) -> None:
    head = FaceMaskPredictor(dim=8, num_blocks=3, hidden_dim=4)
    head.save_pretrained(tmp_path)
    again = FaceMaskPredictor.from_pretrained(tmp_path)
    torch.testing.assert_close(dict(again.state_dict()), dict(head.state_dict()))
