"""One GPU, several with the whole model each (DDP), or several with a part each (FSDP2): what `accelerate launch` says.

FSDP2 alone, for its first version keeps weights in flat pieces in which a learning parameter cannot lie beside a frozen
one. Each transformer block is a unit, whatever the launcher's wrap policy is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, is_tensorboard_available
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

from humo.finetuning.settings import FinetuneSettings


def make_accelerator(settings: FinetuneSettings, out: Path, cpu: bool = False) -> Accelerator:
    """Accelerate's object for a training, as the launcher asked for it.

    Args:
        settings: of the training.
        out: folder of the run; TensorBoard's files go to `out/logs`.
        cpu: compute on the CPU although there is a GPU.

    Raises:
        ValueError: if TensorBoard is missing or the launcher asked for the first FSDP.
    """
    if not is_tensorboard_available():
        raise ValueError("The log needs TensorBoard, which is not installed: run `pip install tensorboard`.")
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.accumulation,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(out), logging_dir=str(out / "logs")),
    )
    plugin = accelerator.state.fsdp_plugin if is_split(accelerator) else None
    if plugin is None:
        return accelerator
    if plugin.fsdp_version != 2:
        raise ValueError("This trains with FSDP2: give `accelerate launch` --fsdp_version 2.")
    plugin.auto_wrap_policy = transformer_auto_wrap_policy
    if settings.mixed_precision == "bf16":
        # Inputs stay as they are: a timestep of 999 would become 1000 in bfloat16, which autocast leaves alone.
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    return accelerator


def is_split(accelerator: Accelerator) -> bool:
    """Whether FSDP splits the model."""
    return accelerator.distributed_type == "FSDP"


def loads_nothing(accelerator: Accelerator) -> bool:
    """Whether this process gets all weights from the first one, which alone reads them."""
    return (
        is_split(accelerator)
        and not accelerator.is_main_process
        and bool(accelerator.state.fsdp_plugin.cpu_ram_efficient_loading)
    )
