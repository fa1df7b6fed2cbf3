"""How sound enters the transformer: projected to a few tokens per latent frame, heard frame by frame.

Per-frame audio attention is ordinary cross-attention with the frame moved into the batch, so attention backends,
fused projections and LoRA names work on it as on every other attention. Where the tokens of the video are split over
several processes (`humo.layers.context_parallel`) a process may hold half a frame, and its share cannot be regrouped:
it then attends to the audio tokens of all frames under a mask that leaves each video token those of its own frame,
which is the same sum. Ours; with the grouping alone the result under context parallelism is wrong without any error,
for the number of frames is that of the whole video and the tokens are not.

Source: HuMo (arXiv 2509.08519) sec. 3.2 and its released code; attention through diffusers.
"""

# b batch, f latent frames (video + references), n tokens (this process' share), a audio tokens per frame

from __future__ import annotations

import torch
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor, nn

from humo.layers.key_value_cache import KeyValueAttnProcessor, key_values


class AudioProjection(nn.Module):
    """Turns a latent frame's window of audio features into a few tokens.

    Args:
        window: feature frames per latent frame (25 Hz).
        bands: groups of hidden states of the audio encoder.
        channels: channels of the audio encoder.
        hidden_dim: width of the two hidden layers.
        tokens: tokens per latent frame.
        dim: channels of a token.

    Source: HuMo sec. 3.2; sizes from the released code (the paper says a window of 5, the code uses 8).
    """

    def __init__(self, window: int, bands: int, channels: int, hidden_dim: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.linear_1 = nn.Linear(window * bands * channels, hidden_dim)
        self.linear_2 = nn.Linear(hidden_dim, hidden_dim)
        self.linear_3 = nn.Linear(hidden_dim, tokens * dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, audio_hidden_states: Tensor) -> Tensor:
        """Map (b, f, window, bands, channels) to (b, f, tokens, dim)."""
        hidden_states = torch.relu(self.linear_1(audio_hidden_states.flatten(2)))
        hidden_states = torch.relu(self.linear_2(hidden_states))
        return self.norm(self.linear_3(hidden_states).unflatten(2, (self.tokens, -1)))


class AudioCrossAttention(nn.Module):
    """Attention from the tokens of each latent frame to the audio tokens of that frame alone.

    Args:
        dim: channels of the hidden states.
        num_heads: attention heads.
        audio_dim: channels of an audio token; 1536 in both published models, whatever their `dim`.
        eps: epsilon of the norms.

    Source: HuMo sec. 3.2; no rotary embedding, as in the released code.
    """

    def __init__(self, dim: int, num_heads: int, audio_dim: int, eps: float) -> None:
        super().__init__()
        head_dim = dim // num_heads
        self.norm_audio = FP32LayerNorm(dim, eps, elementwise_affine=True)
        self.attn = WanAttention(
            dim, num_heads, head_dim, eps, cross_attention_dim_head=head_dim, processor=KeyValueAttnProcessor()
        )
        self.attn.to_k, self.attn.to_v = nn.Linear(audio_dim, dim), nn.Linear(audio_dim, dim)

    def key_values(self, audio_hidden_states: Tensor, is_split: bool = False) -> Tensor:
        """What the tokens attend to, see `humo.layers.key_value_cache.key_values`.

        Args:
            audio_hidden_states: (b, f, a, audio_dim), or the result for it.
            is_split: whether the video's tokens are a share of all, which attend to all frames under a mask.

        Returns:
            Keys and values of each frame, (2, b*f, a, heads, head_dim), or of all frames in a row,
            (2, b, f*a, heads, head_dim).
        """
        return key_values(self.attn, _line_up(audio_hidden_states, is_split))

    def forward(self, hidden_states: Tensor, audio_hidden_states: Tensor, audio_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            hidden_states: (b, n, dim).
            audio_hidden_states: (b, f, a, audio_dim), or from `key_values`.
            audio_mask: from `frame_mask`, where the tokens are a share of the video's; None where they are all.

        Returns:
            The attention's output, (b, n, dim).
        """
        audio = _line_up(audio_hidden_states, audio_mask is not None)
        queries = self.norm_audio(hidden_states.float()).type_as(audio)
        if audio_mask is not None:
            return self.attn(queries, audio, audio_mask)
        # a shape, for len() makes a number of what stays open when a pass is exported (`humo.loading.compiling`)
        batch_size, num_sounds = queries.shape[0], audio.shape[1 if audio.ndim == 5 else 0]
        queries = queries.unflatten(1, (num_sounds // batch_size, -1)).flatten(0, 1)  # (b*f, h*w, dim)
        return self.attn(queries, audio).unflatten(0, (batch_size, -1)).flatten(1, 2)


def _line_up(audio_hidden_states: Tensor, is_split: bool) -> Tensor:
    """Audio tokens (b, f, a, c) as (b*f, a, c), or (b, f*a, c) for a share of the video; anything else as it is."""
    if audio_hidden_states.ndim != 4:
        return audio_hidden_states
    return audio_hidden_states.flatten(1, 2) if is_split else audio_hidden_states.flatten(0, 1)


class FrameIndex(nn.Module):
    """Which latent frame each token belongs to.

    A module without parameters, because diffusers' context parallelism splits the outputs of modules: each process
    gets the frames of its own tokens.
    """

    def forward(self, num_frames: int, tokens_per_frame: int, device: torch.device) -> Tensor:
        """Return the frame of every token, int64 (1, num_frames * tokens_per_frame)."""
        return torch.arange(num_frames, device=device).repeat_interleave(tokens_per_frame)[None]


def frame_mask(frame_index: Tensor, num_frames: int, audio_tokens: int) -> Tensor:
    """The audio tokens that each token may hear: those of its own frame.

    Args:
        frame_index: latent frame of each token, int64 (1, n).
        num_frames: latent frames of the whole video, f.
        audio_tokens: audio tokens per latent frame, a.

    Returns:
        True where heard, (1, 1, n, f*a), for every head.
    """
    key_frame = torch.arange(num_frames, device=frame_index.device).repeat_interleave(audio_tokens)
    return (frame_index[..., None] == key_frame)[:, None]
