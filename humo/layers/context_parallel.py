"""One video on several GPUs: every process holds the whole model and a share of the video's tokens.

    torchrun --nproc-per-node 2 -m humo generate --preset 17B ...

This is diffusers' context parallelism. Everything but attention works on tokens one by one, so a share of them is
enough; for self-attention the processes exchange, either so that each sees all tokens of some heads (Ulysses) or by
passing keys and values around (ring). Time falls with the number of processes, the memory of the weights does not: that
is what `humo.load(..., memory=...)` is for. The number of tokens need not divide evenly.

- Ulysses, the default, sends least and takes every attention backend; it needs heads that divide: 40 in the 17B (1, 2,
  4, 5, 8, 10, 20 or 40 processes), 12 in the 1.7B (1, 2, 3, 4, 6 or 12).
- A ring takes any number of processes, but an attention that reports its log-sum-exp: PyTorch's flash kernel, so CUDA
  and bfloat16 or float16. Both together (1.7B on eight GPUs: `ulysses=4, ring=2`) also need tokens that divide.
- Sound is heard frame by frame although shares do not end with frames (`humo.layers.audio_attention`).
- Text, sound, pictures and the decoder are computed by every process alike, so all need the same inputs and make the
  same calls, callbacks that ask for `StepState.attended` included. A seed that is not given is drawn by the first.
- diffusers' caches decide from the states that a process holds, so that two may decide differently and wait for ever:
  they are refused here.

Source: DeepSpeed-Ulysses (arXiv 2309.14509), ring attention (arXiv 2310.01889), both through diffusers. What is
distributed and what is refused is ours; the released code splits tokens with its own Ulysses.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, DiffusionPipeline, ModelMixin
from torch import Tensor, nn


class GatherTokens(nn.Module):
    """Puts the shares of the tokens together again.

    diffusers gathers the output of `exchange`. Shares differ by one token where the number does not divide, which
    NCCL's gathering allows and gloo's does not, so they are made equally long before and cut after.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exchange = nn.Identity()

    def forward(self, tokens: Tensor, num_tokens: int, num_shares: int) -> Tensor:
        """Gather.

        Args:
            tokens: the share of this process, (b, n / num_shares rounded up or down, c).
            num_tokens: of the whole video, n.
            num_shares: processes; 1 returns the tokens as they are.

        Returns:
            All tokens, the same in every process, (b, n, c).
        """
        if num_shares == 1:
            return tokens
        shorter, num_longer = divmod(num_tokens, num_shares)  # the first shares are the longer ones
        longest = shorter + (num_longer > 0)
        padded = nn.functional.pad(tokens, (0, 0, 0, longest - tokens.shape[1]))
        shares = self.exchange(padded).split(longest, dim=1)
        return torch.cat([share[:, : shorter + (rank < num_longer)] for rank, share in enumerate(shares)], dim=1)


def local_device() -> torch.device:
    """The device of this process: the GPU that torchrun's LOCAL_RANK numbers, or the CPU where there is none.

    Load with `humo.load(preset, device=local_device())` so that no process fills another's GPU.

    Raises:
        ValueError: if there are more processes than GPUs; every process of this computer finds it alike.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_index(torch.cuda.device_count()))


def local_index(num_gpus: int) -> int:
    """The number of this process among those that torchrun started on this computer, 0 without torchrun.

    Args:
        num_gpus: of this computer.

    Raises:
        ValueError: if there are more processes than GPUs.
    """
    index = int(os.environ.get("LOCAL_RANK", "0"))
    num_processes = max(index + 1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if num_processes > num_gpus:
        raise ValueError(
            f"torchrun started {num_processes} processes on this computer but it has {num_gpus} "
            f"GPU{'s' if num_gpus > 1 else ''}: use torchrun --nproc-per-node {num_gpus}."
        )
    return index


def start(
    pipeline: DiffusionPipeline, ulysses: int | None = None, ring: int = 1, device: torch.device | str | None = None
) -> None:
    """Let this process work on its share; every process of torchrun calls it once, with the same arguments.

    Args:
        pipeline: the whole pipeline; moved to the device unless offloading to it is set up.
        ulysses: processes that split the heads; None for all, divided by `ring`.
        ring: processes in a ring.
        device: of this process; None for `local_device()`.

    Raises:
        ValueError: if not started by torchrun, or the processes cannot share the work; the sentence says what they
            can.
    """
    if "WORLD_SIZE" not in os.environ:
        raise ValueError(
            "Several GPUs need several processes: start with torchrun --nproc-per-node N -m humo generate."
        )
    world_size = int(os.environ["WORLD_SIZE"])
    device = local_device() if device is None else torch.device(device)
    transformer = pipeline.transformer
    ulysses = world_size // max(1, ring) if ulysses is None else ulysses
    _check_degrees(world_size, ulysses, ring, transformer.config.num_attention_heads)
    _check_attention(transformer, ring, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group(_backend(device))
    if _number(pipeline._execution_device) != _number(device):
        pipeline.to(device)
    if world_size > 1:
        split_tokens(transformer, ulysses, ring, device.type)


def split_tokens(transformer: ModelMixin, ulysses: int, ring: int = 1, device_type: str = "cuda") -> None:
    """Split a transformer's tokens over the processes of a group that is already there; `start` calls it.

    Args:
        transformer: the same in every process; from now on all of them call it together.
        ulysses: processes that split the heads.
        ring: processes in a ring; with `ulysses` the product is the number of processes.
        device_type: "cuda" or "cpu".
    """
    for block in transformer.blocks:
        block.audio_attn.attn.set_attention_backend("native")  # the frame mask needs a backend that takes masks
        if ring > 1 and block.attn1.processor._attention_backend in (None, "native"):
            block.attn1.set_attention_backend("_native_flash")  # plain attention does not report its log-sum-exp
    config = ContextParallelConfig(
        ulysses_degree=ulysses,
        ring_degree=ring,
        ulysses_anything=ring == 1,
        ring_anything=ulysses == 1,
        mesh=dist.init_device_mesh(device_type, (ring, ulysses), mesh_dim_names=("ring", "ulysses")),
    )
    with _at_least_one_device():
        transformer.enable_parallelism(config=config)


def check_tokens(config: ContextParallelConfig, num_tokens: int) -> None:
    """Refuse a video whose tokens the processes cannot share; the transformer calls it.

    Args:
        config: of diffusers.
        num_tokens: of the whole video.

    Raises:
        ValueError: if they do not divide where they must, or there are fewer than processes.
    """
    ulysses, ring = config.ulysses_degree or 1, config.ring_degree or 1
    world_size = ulysses * ring
    is_uneven = ulysses > 1 and ring > 1 and num_tokens % world_size
    if is_uneven or num_tokens < world_size:
        raise ValueError(
            f"The video's {num_tokens} tokens cannot be shared by {ulysses} x {ring} "
            f"processes (ulysses x ring): use ulysses={world_size} or ring={world_size} alone, or another size."
        )


def draw_seed(transformer: ModelMixin, earlier: int | None = None) -> int:
    """A seed for who gave none, 0 to 2**31 - 1; the same in every process if the transformer is split over several.

    Args:
        transformer: of the pipeline.
        earlier: the seed to keep, if there is one; where processes share the work, the first one's counts.
    """
    seed = [random.getrandbits(31) if earlier is None else earlier]
    if transformer.num_shares > 1:
        dist.broadcast_object_list(seed, src=0)
    return seed[0]


def is_main() -> bool:
    """Whether this process writes files and speaks: the first of torchrun's, or the only one."""
    return (dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))) == 0


def stop() -> None:
    """Leave the group at the end of the process; the pipeline cannot be called any more."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _check_degrees(world_size: int, ulysses: int, ring: int, num_heads: int) -> None:
    if min(ulysses, ring) < 1 or ulysses * ring != world_size:
        raise ValueError(
            f"ulysses x ring is {ulysses} x {ring} but there are {world_size} processes: their product must be that."
        )
    if num_heads % ulysses:
        most = math.gcd(num_heads, world_size)
        allowed = ", ".join(str(count) for count in range(1, num_heads + 1) if num_heads % count == 0)
        raise ValueError(
            f"{ulysses} processes cannot share {num_heads} attention heads evenly: start {allowed} processes, "
            f"or call humo.layers.context_parallel.start with ulysses={most} and ring={world_size // most}."
        )


def _check_attention(transformer: ModelMixin, ring: int, device: torch.device) -> None:
    if transformer.num_shares > 1:
        raise ValueError(
            "The tokens of this transformer are already split: call humo.layers.context_parallel.start once."
        )
    if transformer.is_cache_enabled:
        raise ValueError("A cache may decide differently in every process: call transformer.disable_cache() first.")
    if ring > 1 and (device.type != "cuda" or transformer.dtype not in (torch.bfloat16, torch.float16)):
        raise ValueError(
            f"A ring needs CUDA and bfloat16 or float16 but the transformer is {transformer.dtype} on {device.type}: "
            "use ring=1."
        )


def _backend(device: torch.device) -> str:
    """Backends of the process group; where "cpu" is among them the lengths of shares do not wait for a GPU.

    diffusers 0.42.1 exchanges them on the accelerator that PyTorch was built for, also where there is none.
    """
    if device.type == "cuda":
        return "cpu:gloo,cuda:nccl"
    return "gloo" if torch.accelerator.current_accelerator() is None else "cpu:gloo"


def _number(device: torch.device) -> tuple[str, int]:
    return device.type, device.index or 0


@contextmanager
def _at_least_one_device() -> Iterator[None]:
    """diffusers takes the rank modulo the number of accelerators, and on a machine with none divides by zero."""
    count = torch.accelerator.device_count
    torch.accelerator.device_count = lambda: max(1, count())
    try:
        yield
    finally:
        torch.accelerator.device_count = count
