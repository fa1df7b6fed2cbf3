"""The decoder learns from clips that the transformer redrew; nothing else of the pipeline changes.

Run: pytest tests/training/test_decoder.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from humo.checkpoints import load
from humo.pipeline import HuMoPipeline
from humo.training.autoencoder.training import AutoencoderSettings
from humo.training.command import train
from humo.training.decoder.training import DecoderSettings, RedrawnClips, redraw, write_redrawn
from humo.training.transformer.batches import Batch, BatchSettings, draw_batch
from humo.training.transformer.data import ClipData
from humo.training.transformer.loop import load_audio_encoder, load_autoencoder, load_text_encoder, make_pipeline
from humo.training.transformer.model import make_mini
from humo.training.transformer.stages import Stage
from humo.world.clips import plan_clip, render_clip

SHOWN = Stage(name="test", end=1.0, learns="all", image_share=1.0, audio_start=1.0, audio_end=1.0)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.training_folder(tmp_path_factory.mktemp("training"), num_clips=4, seconds=2)
    tokenizer, text_encoder = load_text_encoder(folder)
    torch.manual_seed(0)
    data = ClipData(folder / "data", *load_audio_encoder(folder))
    model = make_mini(data.latent_std(), data.encoder.config.d_model, text_encoder, layers=1)
    make_pipeline(folder, model, tokenizer).save_pretrained(folder / "pipeline")
    return folder


@pytest.fixture(scope="module")
def pipe(training: Path) -> HuMoPipeline:
    return load(training / "pipeline", dtype=torch.float32)


@pytest.fixture(scope="module")
def batch(training: Path, pipe: HuMoPipeline) -> Batch:
    data = ClipData(training / "data", *load_audio_encoder(training))
    return draw_batch(data, pipe.tokenizer, SHOWN, 1.0, 0, BatchSettings(tokens=450))


@pytest.mark.slow
def test_little_noise_leads_back_to_the_clip_and_much_to_another(pipe: HuMoPipeline, batch: Batch):
    away = [
        float((redraw(pipe, batch, sigma, DecoderSettings()) - batch.latents).square().mean())
        for sigma in (0.01, 0.5, 0.95)
    ]
    assert away[0] < 1e-3 < away[1] < away[2]


def test_a_perfect_transformer_would_redraw_the_clip_itself(
    pipe: HuMoPipeline, batch: Batch, monkeypatch: pytest.MonkeyPatch
):
    def perfect(hidden_states: torch.Tensor, timestep: torch.Tensor, **_) -> tuple[torch.Tensor]:
        whole = torch.cat([batch.latents, batch.references], dim=2)
        whole = whole.repeat(len(hidden_states) // len(whole), 1, 1, 1, 1)
        return ((hidden_states[:, : whole.shape[1]] - whole) / (timestep / 1000).view(-1, 1, 1, 1, 1),)

    monkeypatch.setattr(pipe.transformer, "forward", perfect)
    again = redraw(pipe, batch, 0.8, DecoderSettings())
    torch.testing.assert_close(again, batch.latents, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_command_refines_the_decoder_alone_and_goes_on(training: Path, pipe: HuMoPipeline, batch: Batch):
    before = {name: part.state_dict() for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}

    def run(steps: int, critic: float = 0.5) -> None:
        arguments = ["decoder", "--out", str(training), "--clips", "9", "--steps", str(steps), "--threads", "1"]
        result = CliRunner().invoke(train, [*arguments, "--save-every", "1", "--critic", str(critic)])
        if result.exception is not None:
            raise result.exception

    run(1)
    shards = sorted((training / "decoder").glob("redrawn-*.safetensors"))
    written = [path.stat().st_mtime_ns for path in shards]
    assert sum(len(load_file(path)["seeds"]) for path in shards) >= 9
    run(2)
    assert [path.stat().st_mtime_ns for path in shards] == written
    with pytest.raises(ValueError, match="a critic of weight 0.5, asked for is 0: go on"):
        run(3, critic=0.0)
    state = torch.load(training / "decoder" / "state.pt", weights_only=True)
    assert state["step"] == 2 and state["critic"]["optimizer"]["state"][0]["step"] == 2
    after = load(training / "pipeline", dtype=torch.float32)
    for name, states in before.items():
        for key, value in getattr(after, name).state_dict().items():
            if not (name == "vae" and key.startswith("decoder.")):
                assert torch.equal(value, states[key]), (name, key)
    assert not torch.equal(after.vae.decoder.look.weight, before["vae"]["decoder.look.weight"])

    redrawn = RedrawnClips(training / "decoder", AutoencoderSettings(batch_size=2, num_frames=9), workers=1)
    drawn = next(redrawn.batches(0, own_share=0.0))
    assert drawn.latents.shape == (2, 8, 3, 8, 8) and drawn.weights.shape == drawn.frames.shape[:-1]
    clips = [render_clip(plan_clip(seed), 49, 128).frames[:9] for seed in range(4)]
    for frames in drawn.frames.numpy():
        assert any(np.array_equal(frames, clip) for clip in clips)
    assert next(redrawn.batches(0, own_share=1.0)).latents is None
    kept = load_file(shards[0])  # of few shards, the first
    assert redrawn.kept.tolist() == list(range(len(kept["seeds"])))
    last = redrawn.take(redrawn.kept[-1:])
    assert torch.equal(last.latents[0], kept["latents"][-1])
    assert np.array_equal(last.frames[0].numpy(), render_clip(plan_clip(int(kept["seeds"][-1])), 49, 128).frames)
    figures = redrawn.measure(after.vae, num_clips=2)
    assert set(figures) == {"redrawn", "redrawn_face"} and all(0 < value < 30 for value in figures.values())
    assert torch.equal(load_autoencoder(training).decoder.look.weight, after.vae.decoder.look.weight)
    with pytest.raises(ValueError, match="redrawn clips of other weights"):
        torch.nn.init.normal_(pipe.transformer.proj_out.weight)
        next(
            write_redrawn(
                pipe,
                ClipData(training / "data", *load_audio_encoder(training)),
                training / "decoder",
                1,
                DecoderSettings(),
            )
        )
    with pytest.raises(ValueError, match="no redrawn clips"):
        RedrawnClips(training / "data", AutoencoderSettings())


def test_a_training_without_a_pipeline_says_what_comes_first(tmp_path: Path):
    result = CliRunner().invoke(train, ["decoder", "--out", str(tmp_path)])
    assert isinstance(result.exception, ValueError) and "train transformer" in str(result.exception)
