"""The transformer as compiled code: what stands between its matrix products becomes a few loops. All of it is ours.

On a GPU, and for a large model, diffusers' `compile_repeated_blocks` compiles one block for all, at the first pass.

A small model on a CPU gains little from that (0.93 of the time): its products are short, and each packs its weights
anew. So the whole pass is compiled ahead of time, with its weights packed for the processor as constants
(AOTInductor with `freezing`): 0.72 to 0.81 of the denoising's time as written, 0.70 to 0.75 of the fast form's, with
avx512_bf16 (`python -m humo benchmark --no-clip --compare plain --compile`). `torch.compile` with freezing, the other
way to such code, came to 0.81 and 0.83, traces the model again in every process, and compiles each size anew; here one
file has all lengths and batches of one picture size, and is loaded in some hundredths of a second. What is compiled
starts from keys and values of text and sound (`humo.layers.key_value_cache`), which are read before the first pass.
Passes of another picture size, with one of diffusers' caches, under LoRAs, or that also return states for the focus
head, are computed as written.

The files lie in a folder of the user's own, each with a description: its SHA-256, which is checked before any of it
runs, and how near the code came to the model as written. They are named by all that they depend on: weights, settings,
code, versions of the libraries, instructions of the processor, number format and size.

Compiled, sums are rounded elsewhere, as they are with another number of threads or on another processor: the same
settings give the same video to the eye, not to the bit (`LEAST_PSNR`), so settings do not say how it was computed.
"""

# b batch, f latent frames (video + references), h w latent grid, z channels of the input, m text tokens

from __future__ import annotations

import inspect
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from humo.layers.key_value_cache import KeyValueAttnProcessor, KeyValueMemory
from humo.pipeline import HuMoPipeline
from humo.system.caches import compiled_folder
from humo.system.compiler import find_compiler
from humo.system.digests import digest_data, digest_file
from humo.system.files import atomic_write, exclusive_lock, read_object, write_json
from humo.system.fingerprint import fingerprint
from humo.system.processor import instruction_sets
from humo.timing import FPS, SAMPLE_RATE
from humo.transformer import HuMoTransformer3DModel

logger = logging.getLogger(__name__)

LEAST_PSNR = 40.0
"""dB, of one pass's velocity and of a whole clip's frames to those of the model as written; below, code is refused."""
MOST_FILES = 8
"""Kept in the folder; the oldest make room."""
NO_COMPILER = "No C++ compiler was found, so the model is computed as written: install g++ or name yours in CXX."
_OPTIONS = {"freezing": True, "cpp.dynamic_threads": True}
"""Weights are packed beforehand; the number of threads is looked up at each run (`humo.system.threads`)."""
_SAMPLE = (2, 3)
"""Batch and latent frames with which a pass is traced: any but 0 and 1, which would be taken as fixed."""
_PROVEN = ((1, 2), (1, 7), (3, 4))
"""Batches and latent frames with which it is proven."""
_CODE = ("transformer.py", "layers")
"""What of the package the compiled code was made from."""


class UnlikeCodeError(ValueError):
    """Compiled code came out unlike the model that it was made from."""


@dataclass(slots=True)
class FrozenPass:
    """A compiled pass, `humo.layers.key_value_cache.CompiledPass`, and what it was made for.

    Attributes:
        run: the code.
        transformer: whose weights it has.
        size: latent rows and columns.
        psnr: of a clip's frames to those of the model as written, dB.
    """

    run: Any
    transformer: HuMoTransformer3DModel
    size: tuple[int, int]
    psnr: float
    _state: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self._state = _state_of(self.transformer)

    def fits(self, hidden_states: Tensor, timestep: Tensor, guidance: Tensor | None) -> bool:
        """Whether it was made for these, and for the weights as they are now."""
        return (
            hidden_states.shape[3:] == self.size
            and hidden_states.shape[2] > 1
            and hidden_states.dtype == torch.float32
            and timestep.shape == (1,)
            and (guidance is None or len(guidance) == 1)
            and not self.transformer.needs_detail(timestep)
            and not torch.is_grad_enabled()
            and self._state == _state_of(self.transformer)
        )

    def __call__(
        self, hidden_states: Tensor, timestep: Tensor, memory: KeyValueMemory, guidance: Tensor | None
    ) -> Tensor:
        """The velocity, (b, z, f, h, w)."""
        velocity: Tensor = self.run(*_arguments(hidden_states, timestep, memory, guidance))
        return velocity


def use_compiled(pipe: HuMoPipeline, is_small: bool) -> None:
    """Compile a pipeline's transformer, or take what was compiled before.

    Without a C++ compiler, where one is needed, a sentence says so and the model stays as it is.

    Args:
        pipe: loaded and placed.
        is_small: whether the model is so small that short operations decide.

    Raises:
        ValueError: if a small model on a CPU has a cache on or a LoRA loaded, or the folder for what is compiled cannot
            be used.
    """
    transformer, is_cpu = pipe.transformer, pipe._execution_device.type == "cpu"  # whose weights may rest elsewhere
    if not (is_cpu and is_small):
        if is_cpu and find_compiler() is None:
            logger.warning(NO_COMPILER)
        else:
            transformer.compile_repeated_blocks()
        return
    if transformer.is_cache_enabled or transformer._hf_peft_config_loaded:
        raise ValueError(
            "A small model is compiled with its weights and computes every step whole: leave `compile` out, or the "
            "cache and the LoRA."
        )
    transformer.compiled_pass = make_pass(pipe)


@contextmanager
def computed_by(transformer: HuMoTransformer3DModel, way: FrozenPass | None) -> Iterator[None]:
    """Compute passes with other compiled code for a while, or as written (None)."""
    before, transformer.compiled_pass = transformer.compiled_pass, way
    try:
        yield
    finally:
        transformer.compiled_pass = before


def find_pass(pipe: HuMoPipeline, folder: Path | None = None) -> FrozenPass | None:
    """What was compiled for a pipeline before; None if nothing was, or its file is damaged, which the log says.

    Args:
        pipe: whose transformer is to be computed so.
        folder: of the files; None for `compiled_folder`.

    Raises:
        ValueError: if the folder cannot be used.
    """
    return _load(pipe, _file_of(pipe, folder or compiled_folder()))


def make_pass(pipe: HuMoPipeline, folder: Path | None = None) -> FrozenPass | None:
    """Find a pipeline's pass, or compile it, prove it and keep it, which takes about a minute, once for all processes.

    Args:
        pipe: whose transformer is to be computed so.
        folder: of the files; None for `compiled_folder`.

    Returns:
        The pass; None where it has to be compiled without a compiler, that fails, or it came out unlike the model,
        which the log says.

    Raises:
        ValueError: if the folder cannot be used.
    """
    file = _file_of(pipe, folder or compiled_folder())
    if (found := _load(pipe, file)) is not None:
        return found
    if find_compiler() is None:
        logger.warning(NO_COMPILER)
        return None
    with exclusive_lock(file.with_suffix(".lock"), "Another process compiles this model: waiting for it."):
        if (found := _load(pipe, file)) is not None:
            return found
        logger.warning("Compiling the transformer for this processor, once: about a minute. It is kept in %s.", file)
        try:
            with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
                compiled = _compile(pipe.transformer, _size_of(pipe), Path(scratch) / file.name)
                made = FrozenPass(_read(compiled), pipe.transformer, _size_of(pipe), 0.0)
                _prove_pass(made)
                made.psnr = _prove_clip(pipe, made)
                with atomic_write(file) as part:
                    shutil.copyfile(compiled, part)
                write_json(_description(file), {"sha256": digest_file(file), "psnr": made.psnr})
        except (UnlikeCodeError, RuntimeError) as error:  # the second of the compilers
            logger.warning("%s: the transformer is computed as written.", str(error).partition("\n")[0].rstrip(".:"))
            return None
        _make_room(file.parent)
    return made


class _Pass(nn.Module):
    """What is compiled: a pass that finds its keys and values there."""

    def __init__(self, transformer: HuMoTransformer3DModel) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        text: tuple[Tensor, ...],
        audio: tuple[Tensor, ...],
        guidance: Tensor | None = None,
    ) -> Tensor:
        """The velocity; the arguments are those of `_arguments`."""
        config, like = self.transformer.config, text[0]
        batch_size, _, num_frames = hidden_states.shape[:3]
        window = (config.audio_window, config.audio_bands, config.audio_channels)
        velocity: Tensor = self.transformer(
            hidden_states,
            timestep,
            like.new_zeros(batch_size, 1, config.text_dim),  # of these two only the form is looked at
            like.new_zeros(batch_size, num_frames, *window),
            return_dict=False,
            guidance=guidance,
            memory=KeyValueMemory(list(text), [each.flatten(1, 2) for each in audio]),
        )[0]
        return velocity


def _arguments(
    hidden_states: Tensor, timestep: Tensor, memory: KeyValueMemory, guidance: Tensor | None
) -> tuple[Any, ...]:
    """As `_Pass` takes them: what sound gave as (2, b, f, a, heads, head_dim), so that no length is a quotient."""
    frames = hidden_states.shape[0], hidden_states.shape[2]
    audio = tuple(each.unflatten(1, frames) for each in memory.audio)
    return hidden_states.contiguous(), timestep, tuple(memory.text), audio, guidance


@torch.no_grad()
def _compile(transformer: HuMoTransformer3DModel, size: tuple[int, int], file: Path) -> Path:
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.utils import fresh_cache

    with computed_by(transformer, None):
        arguments = _arguments(*_example(transformer, *_SAMPLE, size))
        text = tuple({1: Dim.AUTO, 2: Dim.AUTO} for _ in arguments[2])
        audio = tuple({1: Dim.AUTO, 2: Dim.AUTO} for _ in arguments[3])
        shapes = ({0: Dim.AUTO, 2: Dim.AUTO}, None, text, audio, None)
        program: ExportedProgram = export(_Pass(transformer).eval(), arguments, dynamic_shapes=shapes)
        with fresh_cache(dir=str(file.parent)):  # else among the temporary files, under a name that others can guess
            options = dict(_OPTIONS)  # for it writes into what it is given
            aoti_compile_and_package(program, package_path=str(file), inductor_configs=options)
    return file


def _read(file: Path) -> Any:
    """Load compiled code, which runs what the file says: only of `compiled_folder`, and once its digest is checked."""
    from torch._inductor import aoti_load_package

    return aoti_load_package(str(file))


def _load(pipe: HuMoPipeline, file: Path) -> FrozenPass | None:
    told = read_object(_description(file))
    if told is None or not file.is_file():
        return None
    try:
        if digest_file(file) != told["sha256"]:
            raise ValueError("its digest is another")
        found = FrozenPass(_read(file), pipe.transformer, _size_of(pipe), float(told["psnr"]))
        _prove_pass(found)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        logger.warning("The compiled code in %s cannot be used (%s): it is made anew.", file.name, error)
        file.unlink(missing_ok=True)
        return None
    return found


@torch.no_grad()
def _prove_pass(made: FrozenPass) -> None:
    """Refuse code whose velocity is not that of the model."""
    plain = _Pass(made.transformer)
    for batch_size, num_frames in _PROVEN:
        inputs = _example(made.transformer, batch_size, num_frames, made.size)
        with computed_by(made.transformer, None):
            wanted = plain(*_arguments(*inputs))
        psnr = _psnr(made(*inputs), wanted, float(wanted.max() - wanted.min()))
        _check(psnr, f"a pass of {batch_size} videos of {num_frames} latent frames")


def _prove_clip(pipe: HuMoPipeline, made: FrozenPass) -> float:
    """Refuse code whose clip, from text, picture and sound, is not that of the model; give the PSNR of its frames."""
    tone = 0.3 * np.sin(2 * np.pi * 160 * np.arange(SAMPLE_RATE * 9 // FPS) / SAMPLE_RATE)
    inputs: dict[str, Any] = {
        "prompt": "a woman with red hair nods",
        "image": Image.linear_gradient("L").convert("RGB"),
        "audio": (tone.astype(np.float32), SAMPLE_RATE),
        "as_is": True,
        "seed": 0,
    }
    frames = []
    for way in (None, made):
        with computed_by(pipe.transformer, way):
            frames.append(torch.from_numpy(pipe(**inputs).frames).float())
    psnr = _psnr(frames[1], frames[0], 255.0)
    _check(psnr, "a clip")
    return psnr


def _psnr(made: Tensor, wanted: Tensor, peak: float) -> float:
    """Of what was made to what was wanted, dB; at the most 200, for JSON knows no infinity."""
    error = float((made - wanted).square().mean())
    return min(200.0, 20 * np.log10(max(peak, 1e-9)) - 10 * np.log10(max(error, 1e-30)))


def _check(psnr: float, what: str) -> None:
    if not psnr >= LEAST_PSNR:  # also NaN
        raise UnlikeCodeError(
            f"Compiled code made {what} with a PSNR of {psnr:.1f} dB to the model's, and {LEAST_PSNR:g} are wanted."
        )


@torch.no_grad()
def _example(
    transformer: HuMoTransformer3DModel, batch_size: int, num_frames: int, size: tuple[int, int]
) -> tuple[Tensor, Tensor, KeyValueMemory, Tensor | None]:
    """Latents, timestep, a full memory and scalars of guidance, drawn without touching PyTorch's own generator."""
    config, draw = transformer.config, torch.Generator().manual_seed(0)
    window = (config.audio_window, config.audio_bands, config.audio_channels)
    hidden_states = torch.randn(batch_size, config.in_channels, num_frames, *size, generator=draw)
    text = torch.randn(batch_size, 5, config.text_dim, generator=draw).to(transformer.dtype)
    audio = torch.randn(batch_size, num_frames, *window, generator=draw).to(transformer.dtype)
    memory = KeyValueMemory()
    transformer._read_conditions(text, audio, memory)
    guidance = torch.tensor([[2.0, 2.0, 2.0, 0.1]]) if config.guidance_embeds else None
    return hidden_states, torch.tensor([900.0]), memory, guidance  # above the detail head, which is not compiled


def _state_of(transformer: HuMoTransformer3DModel) -> tuple[Any, ...]:
    """What shows, in microseconds, that weights or layers are no longer those that were compiled."""
    blocks: Any = transformer.blocks
    weights = [block.ffn.net[2].weight for block in blocks]
    processors = [block.attn2.processor for block in blocks]
    return (
        *(
            (id(each), each._version, each.dtype, each.device)
            for each in (transformer.patch_embedding.weight, *weights)
        ),
        all(isinstance(each, KeyValueAttnProcessor) for each in processors),
        bool(transformer._hf_peft_config_loaded),  # None once a LoRA was taken out again
        transformer.num_shares,
    )


def _file_of(pipe: HuMoPipeline, folder: Path) -> Path:
    """The file of what is compiled for a pipeline, named by all that it depends on."""
    transformer, package = pipe.transformer, Path(__file__).parents[1]
    paths = [path for name in _CODE for path in sorted((package / name).rglob("*.py")) or [package / name]]
    told = {
        "weights": fingerprint(transformer),
        "dtypes": sorted({str(each.dtype) for each in transformer.parameters()}),
        "config": {name: value for name, value in transformer.config.items() if not name.startswith("_")},
        "size": _size_of(pipe),
        "code": [*map(digest_file, paths), inspect.getsource(_Pass), inspect.getsource(_arguments), _OPTIONS],
        "versions": [torch.__version__, version("diffusers")],
        "processor": instruction_sets(),
    }
    return folder / f"transformer-{digest_data(told)[:20]}.pt2"


def _size_of(pipe: HuMoPipeline) -> tuple[int, int]:
    """Latent rows and columns of the size that the model makes by default."""
    scale = pipe.vae.config.scale_factor_spatial
    return pipe.config.default_height // scale, pipe.config.default_width // scale


def _description(file: Path) -> Path:
    return file.with_suffix(".json")


def _make_room(folder: Path) -> None:
    """Remove the oldest files beyond `MOST_FILES`."""
    files = sorted(folder.glob("*.pt2"), key=lambda path: path.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        for each in (file, _description(file), file.with_suffix(".lock")):
            each.unlink(missing_ok=True)
