"""Another voice for a clip that exists: the region of the mouth is made anew, all else stays. Ours.

The focus head, which the paper trains as a teacher (sec. 3.3), tells where the face is that the voice drives. Within
it the latents are made anew by what the new voice says, everywhere else they are known (`humo.known`). What comes out
is laid over the clip with a soft edge inside the region, so that all pixels outside are the clip's own.

May import requests and what stands below.
"""

from humo.dubbing.clip import Clip, read_clip_to_dub
from humo.dubbing.dub import dub, find_region
from humo.dubbing.region import Region, Shape, read_mask

__all__ = ["Clip", "Region", "Shape", "dub", "find_region", "read_clip_to_dub", "read_mask"]
