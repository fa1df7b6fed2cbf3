"""The denoising loop, one step visible at a time: conditions, the velocity of guided branches, the solver, the loop.

May import layers, references, known, guidance and the transformer; knows no prompts, pictures or sounds.
"""

from humo.sampling.conditions import Conditions as Conditions
from humo.sampling.conditions import join_conditions as join_conditions
from humo.sampling.denoising import Denoising as Denoising
from humo.sampling.denoising import StepState as StepState
from humo.sampling.denoising import StopGeneration as StopGeneration
from humo.sampling.denoising import denoise as denoise
from humo.sampling.solver import Scheduler as Scheduler
from humo.sampling.solver import make_scheduler as make_scheduler
from humo.sampling.solver import set_timesteps as set_timesteps
from humo.sampling.velocity import branch_inputs as branch_inputs
from humo.sampling.velocity import guided_velocity as guided_velocity
