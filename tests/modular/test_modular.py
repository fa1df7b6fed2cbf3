"""HuMo as blocks: what `HuMoPipeline` makes, to the bit; and taken apart in every way that blocks are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers.modular_pipelines import ModularPipeline, SequentialPipelineBlocks
from diffusers.utils import dynamic_modules_utils

import humo
from humo.guidance import Branch, constant
from humo.modular import Block, GuidanceBlock, HuMoBlocks, LoopBlock, MaskBlock, TextBlock, save_modular, with_blocks
from humo.modular.declaring import given
from humo.pipeline import HuMoPipeline
from humo.requests.call import HuMoPipelineOutput
from humo.sampling import StepState, StopGeneration

PROMPT = "a woman with red hair talks"


def inputs(mode: str, **others: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"prompt": PROMPT, "seed": 1}
    if "I" in mode:
        found["image"] = tiny.picture()
    if "A" in mode:
        found["audio"] = tiny.voice(0.36)
    return found | others


def assert_same(one: HuMoPipelineOutput, other: HuMoPipelineOutput, rounding: float = 0.0) -> None:
    """Equal to the bit; weights that lie elsewhere in memory may be added up in another order, which rounds."""
    levels = 1 if rounding else 0
    np.testing.assert_allclose(one.frames.astype(int), other.frames.astype(int), rtol=0, atol=levels)
    np.testing.assert_allclose(one.latents, other.latents, rtol=0, atol=rounding)
    assert (one.settings, one.notes, one.seed) == (other.settings, other.notes, other.seed)
    assert (one.audio is None) == (other.audio is None)
    if one.audio is not None and other.audio is not None:
        np.testing.assert_array_equal(one.audio[0], other.audio[0])


@pytest.mark.parametrize(
    ("form", "mode"),
    [("mini_pipeline", "TIA"), ("wan_pipeline", "TIA"), ("mini_pipeline", "T"), ("mini_pipeline", "TA")]
    + [pytest.param("wan_pipeline", mode, marks=pytest.mark.slow) for mode in ("T", "TI", "TA")],
)
def test_it_makes_what_the_pipeline_makes(form: str, mode: str, request: pytest.FixtureRequest) -> None:
    pipe: HuMoPipeline = request.getfixturevalue(form)
    asked = inputs(mode, guidance=constant(2.0, 1.5, 3.0), num_inference_steps=3, audio_shift=40 * ("A" in mode))
    assert_same(with_blocks(pipe)(**asked, output="video"), pipe(**asked))


def test_a_distilled_model_reads_no_negative_prompt() -> None:
    pipe = tiny.pipeline("mini")
    torch.manual_seed(1)
    pipe.register_modules(transformer=tiny.transformer(latent_std=tiny.LATENT_STD, guidance_embeds=True))
    asked = inputs("TI", negative_prompt="a man", guidance=constant())
    state = with_blocks(pipe)(**asked)
    assert state.negative_prompt_embeds is state.prompt_embeds
    assert_same(state.video, pipe(**asked))
    assert state.weights == {Branch(True, True, False): 1.0}


def test_what_is_known_stays(mini_pipeline: HuMoPipeline) -> None:
    first = mini_pipeline(**inputs("TA"))
    made = with_blocks(mini_pipeline)
    on = inputs("TA", continue_from=first, overlap=5, resampling=1)
    told: list[np.ndarray] = []
    more = made(**on, on_frames=told.append, output="video")
    assert_same(more, mini_pipeline(**on))
    assert sum(map(len, told)) == len(more.frames) and more.overlap == 5
    still = inputs("T", first_frame=first.frames[-1])
    assert_same(made(**still, output="video"), mini_pipeline(**still))


def test_text_is_encoded_alone_and_used_again(mini_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    text = with_blocks(mini_pipeline, blocks.sub_blocks.pop("text"))
    assert set(text.components) == {"tokenizer", "text_encoder"}
    features = text(prompt_read=PROMPT, output=["prompt_embeds", "negative_prompt_embeds"])
    rest = with_blocks(mini_pipeline, blocks)
    assert "text_encoder" not in rest.components
    for mode in ("TIA", "T"):
        assert_same(rest(**inputs(mode), **features, output="video"), mini_pipeline(**inputs(mode)))
    with pytest.raises(ValueError, match="Required input 'prompt_embeds' is missing"):
        rest(**inputs("T"))


def test_decoding_is_left_out_and_done_later(mini_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    decode = with_blocks(mini_pipeline, blocks.sub_blocks.pop("decode"))
    state = with_blocks(mini_pipeline, blocks)(**inputs("TIA"))
    whole = mini_pipeline(**inputs("TIA"))
    assert "video" not in state.values and state.call.mode == "TIA"
    np.testing.assert_array_equal(state.latents[0].numpy(), whole.latents)
    assert_same(decode(state, output="video"), whole)


class OtherWords(TextBlock):
    """Reads something else than what was asked for."""

    def compute(self, pipe: Any, at: Any) -> None:
        at.prompt_read = "a man nods"
        super().compute(pipe, at)


def test_a_block_is_replaced(mini_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    blocks.sub_blocks["text"] = OtherWords()
    video = with_blocks(mini_pipeline, blocks)(**inputs("TA"), output="video")
    np.testing.assert_array_equal(video.frames, mini_pipeline(**inputs("TA", prompt="a man nods")).frames)
    assert video.settings["prompt"] == PROMPT


class Softer(Block):
    """Halves what is heard."""

    takes = (given("audio_hidden_states", "of the block `sound`"),)

    def compute(self, pipe: Any, at: Any) -> None:
        at.audio_hidden_states = at.audio_hidden_states / 2


def test_a_block_is_put_between(mini_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    blocks.sub_blocks.insert("softer", Softer(), list(blocks.sub_blocks).index("sound") + 1)
    plain, softer = (with_blocks(mini_pipeline, each)(**inputs("TA")) for each in (None, blocks))
    assert torch.equal(softer.audio_hidden_states, plain.audio_hidden_states / 2)
    assert (softer.video.frames != plain.video.frames).any()


class TextAlone(GuidanceBlock):
    """One branch, whatever the rule says."""

    def compute(self, pipe: Any, at: Any) -> None:
        at.weights = {Branch(text=True): 1.0}


def test_the_guidance_is_another(mini_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    blocks.sub_blocks["denoise"].sub_blocks["guidance"] = TextAlone()
    made = with_blocks(mini_pipeline, blocks)(**inputs("TIA"), output="video")
    expected = mini_pipeline(**inputs("TIA", guidance=lambda *_, **__: {Branch(text=True): 1.0}))
    np.testing.assert_array_equal(made.frames, expected.frames)


class Looking(LoopBlock):
    """Notes where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, tuple[int, ...]]] = []

    def compute(self, pipe: Any, at: Any) -> None:
        self.seen.append((at.denoising.timestep, tuple(at.velocity.shape)))


def test_a_block_is_put_into_the_loop_and_sees_the_steps(mini_pipeline: HuMoPipeline) -> None:
    blocks, looking = HuMoBlocks(), Looking()
    blocks.sub_blocks["denoise"].sub_blocks.insert("looking", looking, 2)
    made = with_blocks(mini_pipeline, blocks)
    states: list[StepState] = []
    made(**inputs("TI", on_step=states.append))
    seen = made._blocks.sub_blocks["denoise"].sub_blocks["looking"].seen  # init_pipeline copies the blocks
    assert looking.seen == [] and [timestep for timestep, _ in seen] == [state.timestep for state in states]
    assert seen[0][1] == (1, 8, 3 + 1, 4, 4) and len(seen) == 2


def test_masks_are_kept_where_the_block_is(mini_pipeline: HuMoPipeline, wan_pipeline: HuMoPipeline) -> None:
    blocks = HuMoBlocks()
    blocks.sub_blocks["denoise"].sub_blocks["masks"] = MaskBlock()
    made, asked = with_blocks(mini_pipeline, blocks), inputs("TIA", num_inference_steps=4)
    video = made(**asked, output="video")
    assert_same(video, mini_pipeline(**asked))
    np.testing.assert_array_equal(video.masks, mini_pipeline(**asked, return_masks=True).masks)
    assert made(**asked, output="video").masks is not video.masks
    with pytest.raises(ValueError, match="MaskBlock needs a focus head but this model has none"):
        with_blocks(wan_pipeline, blocks)(**inputs("T"))


def test_noise_of_ones_own(mini_pipeline: HuMoPipeline) -> None:
    made = with_blocks(mini_pipeline)
    state = made(**inputs("T"))
    again = made(**inputs("T", seed=2), noise=state.noise, output="video")
    np.testing.assert_array_equal(again.frames, state.video.frames)


def test_bad_inputs_are_one_sentence_and_a_wish_to_stop_comes_through(mini_pipeline: HuMoPipeline) -> None:
    made = with_blocks(mini_pipeline)
    with pytest.raises(ValueError, match=r"^num_frames must be 4k\+1"):
        made(**inputs("T", num_frames=10))

    def stop(state: StepState) -> None:
        raise StopGeneration

    with pytest.raises(StopGeneration):
        made(**inputs("T", on_step=stop))


def test_every_block_says_what_it_takes_and_gives() -> None:
    blocks = HuMoBlocks()
    assert blocks.required_inputs and [each.name for each in blocks.inputs if each.required] == ["prompt"]
    for name, block in (*blocks.sub_blocks.items(), *blocks.sub_blocks["denoise"].sub_blocks.items()):
        assert len(block.description) > 20, name
        assert all(each.description for each in block.inputs), name
    assert "audio_hidden_states" in blocks.doc and isinstance(blocks, SequentialPipelineBlocks)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers copies a repository's code into a folder of its own and imports it from there."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_a_folder_for_the_hub_is_loaded(form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pipe: HuMoPipeline = request.getfixturevalue(form)
    folder = save_modular(pipe, tmp_path / "saved", "somebody/humo-blocks")
    assert {"block.py", "modular_config.json", "modular_model_index.json"} <= {each.name for each in folder.iterdir()}
    index = json.loads((folder / "modular_model_index.json").read_text())
    assert str(tmp_path) not in json.dumps(index)
    assert index["transformer"][2]["pretrained_model_name_or_path"] == "somebody/humo-blocks"
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        ModularPipeline.from_pretrained(moved)
    made = ModularPipeline.from_pretrained(moved, trust_remote_code=True)
    made.load_components()
    expected = pipe(**inputs("TIA"))
    expected.settings["model"] = "moved"
    assert_same(made(**inputs("TIA"), output="video"), expected, rounding=1e-4)


def test_the_folder_of_a_pipeline_is_loaded(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    mini_pipeline.save_pretrained(tmp_path / "tiny")
    made = HuMoBlocks().init_pipeline(str(tmp_path / "tiny"))
    made.load_components()
    expected = mini_pipeline(**inputs("TIA"))
    expected.settings["model"] = "tiny"
    assert_same(made(**inputs("TIA"), output="video"), expected, rounding=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("modules")
def test_mini_makes_the_same_from_text_picture_and_voice(tmp_path: Path) -> None:
    pipe = humo.load("mini", dtype=torch.float32)
    made = with_blocks(pipe)
    voice, picture = "assets/examples/woman.wav", "assets/examples/woman.png"
    modes = {"T": {}, "TI": {"image": picture}, "TA": {"audio": voice}, "TIA": {"image": picture, "audio": voice}}
    for mode in modes.values():
        asked = {"prompt": PROMPT, "seed": 7, "num_frames": 13, "num_inference_steps": 4} | mode
        assert_same(made(**asked, output="video"), pipe(**asked))
    loaded = ModularPipeline.from_pretrained(save_modular(pipe, tmp_path / "mini"), trust_remote_code=True)
    loaded.load_components()
    assert_same(loaded(**asked, output="video"), pipe(**asked), rounding=1e-3)
