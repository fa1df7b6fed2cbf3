"""HuMo as blocks of diffusers' `ModularPipeline`, over the functions that `HuMoPipeline` uses.

`HuMoBlocks` has them in their order: read, text, references, sound, known, noise, denoise (guidance, velocity, solver,
show), decode. Each says what it takes and gives; `with_blocks` makes a pipeline of any of them that shares the parts of
a loaded one, and `save_modular` a folder for the Hub. A block of one's own is a subclass of `Block`, or of `LoopBlock`
in the loop, with `takes`, `gives` and `compute`.

What the interface of diffusers 0.42.1 does not carry:
- A pipeline class of one's own: `ModularPipeline.from_pretrained` looks for classes in diffusers alone. So all lies in
  the blocks, and `HuMoBlocks().init_pipeline(folder)` reads the folder of a `HuMoPipeline`.
- Refusal of an input that no block takes: it is passed over with a warning.
- An end that was wished for: what a block raises, `humo.StopGeneration` too, is logged as an error on its way out.
- None in the place of a default: an input that is None has its default. That is why `reads_negative` is an input.
- Several videos as one batch, which `HuMoPipeline.generate_batch` makes.

May import the pipeline and all rooms below it.
"""

from humo.modular.blocks import HuMoBlocks as HuMoBlocks
from humo.modular.blocks import with_blocks as with_blocks
from humo.modular.declaring import Block as Block
from humo.modular.decoding import DecodeBlock as DecodeBlock
from humo.modular.denoising import DenoiseBlock as DenoiseBlock
from humo.modular.denoising import GuidanceBlock as GuidanceBlock
from humo.modular.denoising import LoopBlock as LoopBlock
from humo.modular.denoising import MaskBlock as MaskBlock
from humo.modular.denoising import ShowBlock as ShowBlock
from humo.modular.denoising import SolverBlock as SolverBlock
from humo.modular.denoising import VelocityBlock as VelocityBlock
from humo.modular.encoding import KnownBlock as KnownBlock
from humo.modular.encoding import NoiseBlock as NoiseBlock
from humo.modular.encoding import ReferencesBlock as ReferencesBlock
from humo.modular.encoding import SoundBlock as SoundBlock
from humo.modular.encoding import TextBlock as TextBlock
from humo.modular.reading import ReadBlock as ReadBlock
from humo.modular.saving import save_modular as save_modular
