"""What we touch in diffusers and transformers that they do not promise: fails loudly on an upgrade."""

from __future__ import annotations

import inspect
from pathlib import Path

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import ContextParallelConfig, UniPCMultistepScheduler
from diffusers.hooks._helpers import TransformerBlockRegistry
from diffusers.hooks.context_parallel import PartitionAnythingSharder
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.loaders import lora_base, lora_pipeline
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    _native_attention_forward_op,
)
from diffusers.models.transformers import transformer_wan as wan
from diffusers.pipelines.pipeline_loading_utils import ALL_IMPORTABLE_CLASSES

import humo.audio
import humo.focus
import humo.layers.autoencoder
import humo.transformer
from humo.layers import loras
from humo.transformer import HuMoTransformer3DModel, HuMoTransformerBlock


def test_the_pinned_version() -> None:
    assert diffusers.__version__ == "0.42.1"


def test_the_block_is_registered_for_caches() -> None:
    metadata = TransformerBlockRegistry.get(HuMoTransformerBlock)
    assert metadata.return_hidden_states_index == 0
    assert metadata._cls is HuMoTransformerBlock


def test_wans_block_has_the_parts_that_ours_runs() -> None:
    block = wan.WanTransformerBlock(dim=24, ffn_dim=32, num_heads=2, cross_attn_norm=True)
    names = {name for name, _ in block.named_children()}
    assert names == {"norm1", "attn1", "attn2", "norm2", "ffn", "norm3"}
    assert block.scale_shift_table.shape == (1, 6, 24)
    parameters = list(inspect.signature(wan.WanTransformerBlock.forward).parameters)
    assert parameters == ["self", "hidden_states", "encoder_hidden_states", "temb", "rotary_emb"]


def test_a_model_tells_whether_its_blocks_come_in_turn() -> None:
    model, cpu = tiny.transformer(), torch.device("cpu")
    assert _is_group_offload_enabled(model) is False
    model.enable_group_offload(cpu, cpu, offload_type="block_level", num_blocks_per_group=1)
    assert _is_group_offload_enabled(model) is True


def test_wans_attention_needs_a_processor() -> None:
    attention = wan.WanAttention(24, heads=2, dim_head=12)
    assert attention.processor is None
    processor = wan.WanAttnProcessor()
    assert processor._parallel_config is None
    assert processor._attention_backend is None


def test_condition_embedder_returns_four() -> None:
    embedder = wan.WanTimeTextImageEmbedding(dim=24, time_freq_dim=16, time_proj_dim=144, text_embed_dim=8)
    temb, projection, text, image = embedder(torch.tensor([3.0]), torch.zeros(1, 2, 8))
    assert (temb.shape, projection.shape, text.shape, image) == ((1, 24), (1, 144), (1, 2, 24), None)


def test_the_lora_loader_asks_for_image_dim() -> None:
    assert tiny.transformer().config.image_dim is None


def test_unipc_takes_a_numpy_array_of_sigmas_and_shifts_it() -> None:
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    given = np.linspace(0.999, 0, 9)[:-1]
    scheduler.set_timesteps(sigmas=given)
    shifted = 5 * given / (1 + 4 * given)
    np.testing.assert_allclose(scheduler.sigmas.numpy(), np.append(shifted, 0), atol=1e-6)
    np.testing.assert_allclose(scheduler.timesteps.numpy(), (1000 * shifted).astype(int))


def test_context_parallelism_splits_and_gathers_outputs_of_modules() -> None:
    plan = HuMoTransformer3DModel._cp_plan
    wans = wan.WanTransformer3DModel._cp_plan
    assert {name: plan[name] for name in ("rope", "blocks.0")} == {name: wans[name] for name in ("rope", "blocks.0")}
    model = tiny.transformer()
    for name in plan:
        model.get_submodule(name)
    assert model._parallel_config is None


def test_shares_are_those_of_tensor_split() -> None:
    """Which `humo.layers.context_parallel.GatherTokens` puts together again: the first ones are the longer ones."""
    assert "tensor_split" in inspect.getsource(PartitionAnythingSharder.shard_anything)
    assert [len(share) for share in torch.arange(7).tensor_split(4)] == [2, 2, 2, 1]


def test_options_of_context_parallelism() -> None:
    config = ContextParallelConfig(ulysses_degree=2, ulysses_anything=True)
    assert (config.ring_degree, config.mesh_dim_names) == (1, ("ring", "ulysses"))
    assert ContextParallelConfig(ring_degree=2, ring_anything=True).mesh_shape == (2, 1)
    with pytest.raises(ValueError, match="ulysses_anything"):  # why both together need tokens that divide
        ContextParallelConfig(ring_degree=2, ulysses_degree=2, ulysses_anything=True)


def test_attention_backends_of_context_parallelism() -> None:
    able = _AttentionBackendRegistry._supports_context_parallel
    assert {"native", "_native_flash"} <= able
    module = tiny.transformer().blocks[0].attn1
    module.set_attention_backend("_native_flash")
    assert module.processor._attention_backend == AttentionBackendName._NATIVE_FLASH == "_native_flash"
    query = torch.zeros(1, 2, 1, 8)
    with pytest.raises(ValueError, match="return_lse"):  # why a ring needs the flash kernel
        _native_attention_forward_op(None, query, query, query, return_lse=True)


@pytest.mark.parametrize(
    ("module", "base", "component"),
    [
        (humo.transformer, "ModelMixin", "HuMoTransformer3DModel"),
        (humo.layers.autoencoder, "ModelMixin", "HuMoVideoCodec"),
        (humo.focus, "ModelMixin", "FaceMaskPredictor"),
        (humo.audio, "PreTrainedModel", "AudioEncoder"),
    ],
)
def test_the_pipeline_loader_finds_the_base_by_name_in_the_module(module, base: str, component: str) -> None:
    assert base in ALL_IMPORTABLE_CLASSES
    assert issubclass(getattr(module, component), getattr(module, base))
    folder = module.__name__.split(".")[-2]
    assert not hasattr(diffusers.pipelines, folder)  # where the loader would look for the class


@torch.no_grad()
def test_whisper_records_every_state_and_the_normed_last() -> None:
    encoder = tiny.audio_encoder()
    output = encoder(torch.randn(1, 16, 200 * tiny.CHUNK_SECONDS // 2), output_hidden_states=True)
    assert len(output.hidden_states) == 5
    torch.testing.assert_close(output.hidden_states[-1], output.last_hidden_state)
    torch.testing.assert_close(encoder.layer_norm(encoder.layers[-1](output.hidden_states[-2], None)), output[0])


def test_missing_keys_stay_on_the_meta_device(tmp_path) -> None:
    """Why `humo.load` looks for parameters without storage, and why the focus head is a model of its own."""
    small = tiny.transformer(num_layers=1)
    small.save_pretrained(tmp_path)
    small.register_to_config(num_layers=2)
    small.save_config(tmp_path)
    loaded = humo.transformer.HuMoTransformer3DModel.from_pretrained(tmp_path)
    assert loaded.blocks[1].attn1.to_q.weight.is_meta


def test_torch_tells_whether_the_processor_multiplies_bfloat16() -> None:
    """`humo.training.precision` asks; the answer agrees with what torch says of the processor where it says it."""
    flags = Path("/proc/cpuinfo")
    told = torch.cpu._is_avx512_bf16_supported()
    assert isinstance(told, bool)
    if flags.exists():
        assert told == ("avx512_bf16" in flags.read_text())


def test_a_lora_is_fetched_by_the_options_that_ours_names() -> None:
    parameters = list(inspect.signature(lora_base._fetch_state_dict).parameters)
    assert parameters[0] == "pretrained_model_name_or_path_or_dict"
    assert set(parameters[1:]) == {*loras._OPTIONS, "user_agent", "allow_pickle", "metadata", "return_file_metadata"}
    parameters = inspect.signature(lora_pipeline.WanLoraLoaderMixin.load_lora_into_transformer).parameters
    wanted = ["state_dict", "transformer", "adapter_name", "_pipeline", "low_cpu_mem_usage", "hotswap", "metadata"]
    assert list(parameters) == wanted


def test_diffusers_conversion_of_loras_still_changes_what_it_is_given() -> None:
    """Why `humo.layers.loras` has one of its own; when this fails, see what else it has learnt."""
    layer = "diffusion_model.blocks.0.cross_attn.q"
    given = {f"{layer}.lora_A.weight": torch.ones(2, 4), f"{layer}.lora_B.weight": torch.ones(4, 2)}
    given[f"{layer}.alpha"] = torch.tensor(1.0)
    lora_pipeline.WanLoraLoaderMixin.lora_state_dict(dict(given))
    assert given[f"{layer}.lora_A.weight"].mean() != 1
