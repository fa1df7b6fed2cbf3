"""Another voice for a clip that exists: the region of the mouth is made anew, all else stays. Ours.

The focus head, which the paper trains as a teacher (sec. 3.3), tells where the face is that the voice drives. Within
it the latents are made anew by what the new voice says, everywhere else they are known (`humo.known`). What comes out
is laid over the clip with a soft edge inside the region, so that all pixels outside are the clip's own.

May import requests and what stands below.
"""

PROMPT = "a person talks"
"""What the model reads where nothing is said: who it is, the picture and what surrounds the region say."""

MODE = "dub"
"""In a file's settings, in the place of the letters of what was given."""
