"""What stays as it is: known latents over time and space, put back at every step, and how frames become such. Ours.

May import references, layers and what stands below them.
"""

from humo.known.encoding import know_frames
from humo.known.latents import Known

__all__ = ["Known", "know_frames"]
