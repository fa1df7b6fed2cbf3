"""The critic of the decoder's pictures: it tells blurred from rendered, and what it teaches makes it doubt less.

Run: pytest tests/training/test_critic.py
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from humo.layers.autoencoder import HuMoVideoCodec
from humo.training.autoencoder.critic import Critic
from humo.training.autoencoder.training import AutoencoderSettings, to_video, train_decoder
from humo.world.clips import plan_clip, render_clip


@pytest.fixture(scope="module")
def rendered() -> torch.Tensor:
    return to_video(np.stack([render_clip(plan_clip(seed), 5, 64).frames for seed in range(8)]))


def blurred(video: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(F.pad(video, (2, 2, 2, 2, 0, 0), mode="replicate"), (1, 5, 5), stride=1)


@pytest.fixture(scope="module")
def critic(rendered: torch.Tensor) -> Critic:
    torch.manual_seed(0)
    critic = Critic(weight=0.5, ahead=100)
    assert critic.lesson(rendered, rendered.sum(), rendered) == 0, "it taught before it knew anything"
    losses = [critic.learn(blurred(rendered), rendered) for _ in range(100)]
    assert losses[0] > 1.5 and losses[-1] < 1.0
    return critic


@pytest.mark.slow
def test_it_sees_a_blur_in_people_whom_it_never_saw(critic: Critic):
    video = to_video(np.stack([render_clip(plan_clip(seed, "test"), 5, 64).frames for seed in range(4)]))
    with torch.no_grad():
        assert critic.net(video).mean() > critic.net(blurred(video)).mean() + 0.5
        assert critic.net(video).shape == (8, 1, 8, 8)  # windows of frames 0 to 2 and 2 to 4


@pytest.mark.slow
def test_its_lesson_has_the_asked_share_of_the_gradient_and_leaves_itself_alone(critic: Critic, rendered: torch.Tensor):
    last = torch.nn.Conv3d(3, 3, 1)
    torch.nn.init.dirac_(last.weight)

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, last.weight, retain_graph=True)[0]

    decoded = last(blurred(rendered))
    loss = (decoded - rendered).abs().mean()
    lesson = critic.lesson(decoded, loss, last.weight)
    assert gradient(lesson).norm().item() == pytest.approx(0.5 * gradient(loss).norm().item(), rel=1e-2)
    taught = decoded.detach() - 20 * torch.autograd.grad(lesson, decoded, retain_graph=True)[0].sign() / 255
    with torch.no_grad():
        assert critic.net(taught).mean() > critic.net(decoded).mean()
    before = [value.grad.clone() for value in critic.net.parameters()]
    lesson.backward()
    assert all(torch.equal(value.grad, kept) for value, kept in zip(critic.net.parameters(), before, strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("without_bfloat16")
def test_a_decoder_with_a_critic_goes_on_exactly():
    settings = AutoencoderSettings(size=32, num_frames=5, batch_size=2, steps=4, critic=0.5)

    def begin() -> tuple[HuMoVideoCodec, Critic]:
        torch.manual_seed(1)
        return HuMoVideoCodec(z_dim=8, widths=(16, 8, 8, 8, 8)), Critic(settings.critic, ahead=1)

    codec, critic = begin()
    whole = [losses["loss"] for _, losses, _ in train_decoder(codec, settings, critic=critic)]
    without, _ = begin()
    assert whole != [losses["loss"] for _, losses, _ in train_decoder(without, settings)], "the critic teaches nothing"
    codec, critic = begin()
    for step, _, optimizer in train_decoder(codec, settings, critic=critic):  # noqa: B007 -- used after the break
        if step == 2:
            break
    other, (_, fresh) = HuMoVideoCodec.from_config(codec.config), begin()
    other.load_state_dict(codec.state_dict())
    fresh.load(critic.state())
    rest = [losses["loss"] for _, losses, _ in train_decoder(other, settings, 2, optimizer.state_dict(), critic=fresh)]
    assert rest == whole[2:]
