"""The HuMo transformer: Wan2.1's video transformer with one audio cross-attention in every block.

Notable choices:

- Everything that Wan has is diffusers' own code (attention, rotary embedding, time and text embedding, norms), in fewer
  operations (`humo.layers.block`, `humo.layers.self_attention`); added are the audio projection and the per-frame
  audio attention (`humo.layers.audio_attention`), and of ours, where the config asks for them, the linear estimate of
  the velocity and the detail head.
- References are not known here: they are ordinary latent frames at the end of time (see `humo.references`).
- Precision is that of diffusers' Wan. In a 16-bit model the time embedding, the norms and what modulates them are
  computed in float32, but the embedding is rounded to the model's dtype on its way, and `time_proj` and `proj_out` run
  in that dtype. The released code runs the time projection and its whole head, modulation and output layer, in float32
  (`autocast` in `model_humo.py`). In float32 there is no difference (`tests/golden`); in bfloat16 the two agree to
  bfloat16's accuracy. On a CPU the sum over all blocks stays in float32, as in the release. Layer-wise casting leaves
  `proj_out` alone, for it is on diffusers' own list of exceptions.
- On several GPUs each holds a share of the tokens (`humo.layers.context_parallel`): `_cp_plan` says where they are
  split and gathered.
- Private names of diffusers are imported here and in the files of its parts only (`humo.layers.block`,
  `humo.layers.audio_attention`, `humo.layers.key_value_cache`, `humo.layers.self_attention`), and
  `tests/test_upstream.py` watches them.

Source: HuMo (arXiv 2509.08519) sec. 3.2-3.3 and its released code; Wan2.1 through diffusers.
"""

# b batch, f latent frames (video + references), h w latent grid, n tokens = f*h*w of the patched grid, a audio tokens

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.attention import AttentionMixin
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import (
    WanRotaryPosEmbed,
    WanTimeTextImageEmbedding,
)
from diffusers.utils import BaseOutput
from torch import Tensor, nn

from humo.layers.audio_attention import AudioProjection, FrameIndex, frame_mask
from humo.layers.block import BlockOutput, HuMoTransformerBlock, modulated_norm
from humo.layers.context_parallel import GatherTokens, check_tokens
from humo.layers.detail.head import DetailHead
from humo.layers.float8 import WeightsGuard
from humo.layers.guidance_embedding import NUM_SCALARS, GuidanceEmbedding
from humo.layers.key_value_cache import CompiledPass, KeyValueMemory, key_values
from humo.layers.linear_velocity import add_linear_estimate

NUM_ATTENDED_BLOCKS = 4
"""Number of last blocks whose audio-attended states feed the focus head (paper sec. 3.3)."""


def humo_1_7b() -> dict[str, Any]:
    """Keyword arguments of `HuMoTransformer3DModel` for the published 1.7B model (its released config)."""
    return _preset(num_attention_heads=12, in_channels=16, ffn_dim=8960, num_layers=30)


def humo_17b() -> dict[str, Any]:
    """Keyword arguments of `HuMoTransformer3DModel` for the published 17B model (its released config)."""
    return _preset(num_attention_heads=40, in_channels=36, ffn_dim=13824, num_layers=40)


def _preset(**sizes: int) -> dict[str, Any]:
    return {"attention_head_dim": 128, "out_channels": 16, "text_dim": 4096, **sizes}


@dataclass
class HuMoTransformerOutput(BaseOutput):
    """What the transformer returns.

    Attributes:
        sample: predicted velocity (noise - clean latents), (b, out_channels, f, h, w).
        attended: hidden states after the audio attention of the last four blocks (all blocks if there are
            fewer), each (b, n, dim); None unless asked for.
    """

    sample: Tensor
    attended: tuple[Tensor, ...] | Any = None


class HuMoTransformer3DModel(WeightsGuard, ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """The velocity network of HuMo in all its sizes.

    Two input forms exist. With `in_channels == out_channels` (1.7B) the last latent frames hold the clean
    references; with `in_channels == 2 * out_channels + 4` (17B) mask and condition latents are further
    channels.

    Args:
        patch_size: latent frames, rows and columns of one token.
        num_attention_heads: attention heads.
        attention_head_dim: channels of a head; dim is the product of both.
        in_channels: input channels.
        out_channels: channels of the video latents.
        text_dim: channels of the text encoder.
        freq_dim: channels of the sinusoidal timestep embedding.
        ffn_dim: width of the feed-forward layers.
        num_layers: blocks.
        cross_attn_norm: normalise before the text attention.
        eps: epsilon of the norms.
        rope_max_seq_len: most positions of the rotary embedding along one axis.
        audio_dim: channels of an audio token; differs from dim in the 17B model.
        audio_tokens: audio tokens per latent frame.
        audio_window: audio feature frames per latent frame.
        audio_bands: bands of the audio encoder's hidden states.
        audio_channels: channels of the audio encoder.
        audio_hidden_dim: width of the audio projection.
        image_dim: always None; diffusers' LoRA loader for Wan asks the config for it.
        latent_std: standard deviation of each channel of the clean latents; where given, the best linear
            estimate of the velocity is added to the output (ours, see `humo.layers.linear_velocity`). None as
            published.
        estimate_gate: whether the network also says where that estimate holds; needs latent_std (ours).
        detail_layers: blocks of the detail head; needs latent_std (ours, see `humo.layers.detail.head`). 0 for none.
        detail_width: its channels.
        detail_below: timestep below which it is run.
        guidance_embeds: whether the network is told the scales of guidance, as distilled ones are (ours, see
            `humo.layers.guidance_embedding`).
    """

    config: Any  # diffusers' FrozenDict: its entries are attributes too
    compiled_pass: CompiledPass | None = None
    """Takes the passes that it fits, where the caller keeps keys and values."""
    _supports_gradient_checkpointing = True
    _no_split_modules = ["HuMoTransformerBlock"]
    _repeated_blocks = ["HuMoTransformerBlock"]
    _skip_layerwise_casting_patterns = ["patch_embedding", "condition_embedder", "audio_projection", "norm"]
    _keep_in_fp32_modules = ["rope", "time_embedder", "scale_shift_table", "norm1", "norm2", "norm3", "norm_audio"]
    _cp_plan = {
        "rope": {
            0: ContextParallelInput(split_dim=1, expected_dims=4, split_output=True),
            1: ContextParallelInput(split_dim=1, expected_dims=4, split_output=True),
        },
        "frame_index": {0: ContextParallelInput(split_dim=1, expected_dims=2, split_output=True)},
        "blocks.0": {"hidden_states": ContextParallelInput(split_dim=1, expected_dims=3)},
        "gather_tokens.exchange": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 12,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 8960,
        num_layers: int = 30,
        cross_attn_norm: bool = True,
        eps: float = 1e-6,
        rope_max_seq_len: int = 1024,
        audio_dim: int = 1536,
        audio_tokens: int = 16,
        audio_window: int = 8,
        audio_bands: int = 5,
        audio_channels: int = 1280,
        audio_hidden_dim: int = 512,
        image_dim: int | None = None,
        latent_std: list[float] | None = None,
        estimate_gate: bool = False,
        guidance_embeds: bool = False,
        detail_layers: int = 0,
        detail_width: int = 160,
        detail_below: float = 750.0,
    ) -> None:
        super().__init__()
        if patch_size[0] != 1:
            raise ValueError(f"patch_size must begin with 1, for sound is heard frame by frame, but is {patch_size}.")
        if latent_std is not None and len(latent_std) != out_channels:
            raise ValueError(
                f"latent_std has {len(latent_std)} values but out_channels is {out_channels}: give one each."
            )
        for name, is_on in (("estimate_gate", estimate_gate), ("detail_layers", detail_layers)):
            if is_on and latent_std is None:
                raise ValueError(f"{name} is on but latent_std is None: give the latents' standard deviations.")
        dim = num_attention_heads * attention_head_dim

        # 1. Patches and positions
        self.rope = WanRotaryPosEmbed(attention_head_dim, patch_size, rope_max_seq_len)
        self.frame_index = FrameIndex()
        self.patch_embedding = nn.Conv3d(in_channels, dim, kernel_size=patch_size, stride=patch_size)

        # 2. Time, text and sound
        self.condition_embedder = WanTimeTextImageEmbedding(
            dim=dim, time_freq_dim=freq_dim, time_proj_dim=dim * 6, text_embed_dim=text_dim
        )
        self.audio_projection = AudioProjection(
            audio_window, audio_bands, audio_channels, audio_hidden_dim, audio_tokens, audio_dim
        )
        self.guidance_embedder = GuidanceEmbedding(dim) if guidance_embeds else None

        # 3. Blocks
        self.blocks = nn.ModuleList(
            HuMoTransformerBlock(dim, ffn_dim, num_attention_heads, audio_dim, cross_attn_norm, eps)
            for _ in range(num_layers)
        )

        # 4. Output
        self.norm_out = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, (1 + estimate_gate) * out_channels * math.prod(patch_size))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        self.gather_tokens = GatherTokens()
        self.detail_head = None
        if detail_layers and latent_std is not None:
            self.detail_head = DetailHead(
                latent_std, (1 + estimate_gate) * out_channels, dim, patch_size[1], detail_width, detail_layers
            )

        self.gradient_checkpointing = False

    @property
    def dtype(self) -> torch.dtype:
        """In which it computes; diffusers' own property walks through all modules, at every step."""
        return self.patch_embedding.weight.dtype

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        audio_hidden_states: Tensor,
        return_attended: bool = False,
        return_dict: bool = True,
        guidance: Tensor | None = None,
        memory: KeyValueMemory | None = None,
    ) -> HuMoTransformerOutput | tuple[Any, ...]:
        """Predict the velocity.

        Args:
            hidden_states: noisy latents with the references at the end of time, (b, in_channels, f, h, w); float32
                keeps the linear estimate exact where the network is narrower.
            timestep: 1000 * sigma, (b,), or (1,) for all of the batch, which saves operations.
            encoder_hidden_states: text features padded with zeros, (b, text tokens, text_dim).
            audio_hidden_states: audio windows, zero on reference frames,
                (b, f, audio_window, audio_bands, audio_channels).
            return_attended: also return what the focus head reads.
            return_dict: return `HuMoTransformerOutput` instead of a tuple.
            guidance: scales and span of the step, (b, 4) or (1, 4); of a distilled model only (`guidance_scalars`).
            memory: keys and values from an earlier pass with the same text and sound; filled by this one where it
                is empty. Not used while one of diffusers' caches is on, which skips most of what it would save.

        Returns:
            Velocity of every latent frame, references included (b, out_channels, f, h, w); with
            `return_attended` also the states after the audio attention of the last four blocks.

        Raises:
            ValueError: if a shape does not fit the config or the other inputs, or a cache is on with
                `return_attended`.
        """
        self._check_shapes(hidden_states, timestep, encoder_hidden_states, audio_hidden_states, guidance)
        if return_attended and self.is_cache_enabled:
            raise ValueError("return_attended reads every block but a cache leaves some out: turn the cache off.")
        compiled = None if return_attended or self.is_cache_enabled else self.compiled_pass
        if memory is not None and compiled is not None and compiled.fits(hidden_states, timestep, guidance):
            self._read_conditions(encoder_hidden_states, audio_hidden_states, memory)
            sample = compiled(hidden_states, timestep, memory, guidance)
            return HuMoTransformerOutput(sample=sample) if return_dict else (sample,)
        noisy = hidden_states

        # 1. Patches and positions
        rotary_emb = self.rope(hidden_states)
        hidden_states = self.patch_embedding(hidden_states.type_as(encoder_hidden_states))
        grid = hidden_states.shape[2:]
        hidden_states = hidden_states.flatten(2).transpose(1, 2).contiguous()  # (b, n, dim)
        if hidden_states.device.type == "cpu":  # where it costs nothing, the sum over all blocks is exact
            hidden_states = hidden_states.float()

        # 2. Time, text and sound
        is_filling = memory is not None and memory.is_filling and not self.is_cache_enabled
        memory = KeyValueMemory() if memory is None or self.is_cache_enabled else memory
        unread = encoder_hidden_states[:, :1] if memory.text else encoder_hidden_states  # the embedder wants a token
        temb, timestep_proj, text, _ = self.condition_embedder(timestep, unread)
        if guidance is not None and self.guidance_embedder is not None:
            temb, timestep_proj = self.guidance_embedder.add(guidance, temb, self.condition_embedder)
        timestep_proj = timestep_proj.unflatten(1, (6, -1))
        audio = None if memory.audio else self.audio_projection(audio_hidden_states)  # (b, f, a, audio_dim)
        audio_mask = self._audio_mask(grid, hidden_states.device) if self.num_shares > 1 else None

        # 3. Blocks
        attended, texts, audios = tuple[Tensor, ...](), list[Tensor](), list[Tensor]()
        first_attended = len(self.blocks) - NUM_ATTENDED_BLOCKS if return_attended else len(self.blocks)
        for index, block in enumerate(self.blocks):
            is_attended = index >= first_attended
            read = memory.text[index] if memory.text else text
            heard = memory.audio[index] if memory.audio else audio
            arguments = (hidden_states, read, timestep_proj, rotary_emb, heard, audio_mask)
            if not (is_attended or is_filling):
                hidden_states = self._run_block(block, *arguments)
                continue
            output = BlockOutput(*self._run_block(block, *arguments, True))  # a plain tuple after diffusers' hooks
            hidden_states = output.hidden_states
            if is_attended:
                attended += (self._gather(output.attended.type_as(text), grid),)
            if is_filling:
                texts.append(output.text)
                audios.append(output.audio)
        if is_filling:
            memory.fill(texts, audios)

        # 4. Output
        shift, scale = (self.scale_shift_table + temb.unsqueeze(1)).chunk(2, dim=1)
        hidden_states = modulated_norm(self.norm_out, hidden_states, scale, shift).type_as(text)
        sample = self._unpatchify(self._gather(self.proj_out(hidden_states), grid), grid)
        if not torch.compiler.is_exporting() and self.needs_detail(timestep):
            tokens, below = self._gather(hidden_states, grid), self.config.detail_below
            sample = sample + self.detail_head(noisy, tokens, sample, temb, timestep, below)
        if self.config.latent_std is not None:
            sample = self.add_estimate(sample, noisy, timestep)

        if not return_dict:
            return (sample, attended) if return_attended else (sample,)
        return HuMoTransformerOutput(sample=sample, attended=attended if return_attended else None)

    def _read_conditions(self, text: Tensor, audio: Tensor, memory: KeyValueMemory) -> None:
        """Fill a memory with the numbers with which a pass would fill it."""
        blocks: Any = self.blocks
        if not memory.text:
            states = self.condition_embedder.text_embedder(text)
            memory.text[:] = [key_values(block.attn2, states) for block in blocks]
        if not memory.audio:
            states = self.audio_projection(audio)
            memory.audio[:] = [block.audio_attn.key_values(states) for block in blocks]

    def _run_block(self, block: nn.Module, *arguments: Any) -> Any:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *arguments)
        return block(*arguments)

    @property
    def num_shares(self) -> int:
        """Processes over which the tokens are split (`humo.layers.context_parallel`)."""
        config = None if self._parallel_config is None else self._parallel_config.context_parallel_config
        return 1 if config is None else (config.ring_degree or 1) * (config.ulysses_degree or 1)

    def _gather(self, tokens: Tensor, grid: torch.Size) -> Tensor:
        """All tokens (b, n, c) from this process' share of them."""
        return self.gather_tokens(tokens, math.prod(grid), self.num_shares)

    def _audio_mask(self, grid: torch.Size, device: torch.device) -> Tensor:
        """What each token of this process may hear, (1, 1, n, f*a)."""
        frame_index = self.frame_index(grid[0], grid[1] * grid[2], device)
        return frame_mask(frame_index, grid[0], self.config.audio_tokens)

    def _unpatchify(self, tokens: Tensor, grid: torch.Size) -> Tensor:
        """(b, n, patch volume * c) -> (b, c, f, h, w)."""
        tokens = tokens.unflatten(2, (*self.config.patch_size, -1)).unflatten(1, tuple(grid))
        return tokens.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def needs_detail(self, timestep: Tensor) -> bool:
        """Whether the detail head is run at these timesteps; compiled passes are without it."""
        return self.detail_head is not None and bool((timestep < self.config.detail_below).any())

    def add_estimate(self, output: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """The velocity from the network's output, whose second half is the gate if there is one."""
        residual, gate = output.chunk(2, dim=1) if self.config.estimate_gate else (output, None)
        std = torch.tensor(self.config.latent_std).to(noisy.device, non_blocking=True)  # does not wait for the GPU
        x_t = noisy[:, : self.config.out_channels]
        return add_linear_estimate(residual, x_t, timestep.float() / 1000.0, std, gate).type_as(noisy)

    def _check_shapes(
        self, latents: Tensor, timestep: Tensor, text: Tensor, audio: Tensor, guidance: Tensor | None
    ) -> None:
        config, batch_size, size = self.config, latents.shape[0], latents.shape[2:]
        window = (config.audio_window, config.audio_bands, config.audio_channels)
        allowed = {
            "hidden_states": (latents, (batch_size, config.in_channels, "frames", "height", "width")),
            "timestep": (timestep, (1 if timestep.shape == (1,) else batch_size,)),
            "encoder_hidden_states": (text, (batch_size, "tokens", config.text_dim)),
            "audio_hidden_states": (audio, (batch_size, "frames", *window)),
        }
        if config.guidance_embeds != (guidance is not None):
            raise ValueError("guidance is for distilled models and these need it: see the config's guidance_embeds.")
        if guidance is not None:
            allowed["guidance"] = (guidance, (1 if len(guidance) == 1 else batch_size, NUM_SCALARS))
        for name, (given, wanted) in allowed.items():
            fits = (isinstance(want, str) or have == want for have, want in zip(given.shape, wanted, strict=False))
            if given.ndim != len(wanted) or not all(fits):
                raise ValueError(f"{name} must be ({', '.join(map(str, wanted))}) but is {tuple(given.shape)}.")
        if any(length % patch for length, patch in zip(size, config.patch_size, strict=True)):
            raise ValueError(f"The latent size {tuple(size)} must be a multiple of the patch size {config.patch_size}.")
        if size[0] > config.rope_max_seq_len:
            raise ValueError(f"hidden_states has {size[0]} frames but at most {config.rope_max_seq_len} are allowed.")
        if audio.shape[1] != size[0]:
            raise ValueError(
                f"audio_hidden_states has {audio.shape[1]} frames but hidden_states has {size[0]}: "
                "append one zero frame per reference image."
            )
        if self._parallel_config and (split := self._parallel_config.context_parallel_config):
            num_tokens = math.prod(size) // math.prod(config.patch_size)
            check_tokens(split, num_tokens)
