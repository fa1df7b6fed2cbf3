"""Pictures and sound in, video out: every file of a visitor passes through here before anything is computed.

Notable choices (all ours):
- A file is judged by its first bytes, never by its name; the decoder is then told the format, so that a
  playlist or a drawing with a harmless name reaches no parser.
- A header's promises are not trusted: sizes of pictures are refused before the pixels are decoded, and sounds are
  decoded to their true end, in a process of their own, within limits of time and size.
- Whatever is wrong is one `ValueError` of one sentence, with the file's name and never its folder: the page,
  the command line and the library show it as it is.
- A sound is decoded once, as long as its file stays the same.
- A video says in its own metadata that it is AI-generated.

May import system and timing.
"""

from humo.media.kinds import kind_of as kind_of
from humo.media.pictures import read_picture as read_picture
from humo.media.sounds import LOUDEST as LOUDEST
from humo.media.sounds import MAX_SECONDS as MAX_SECONDS
from humo.media.sounds import MIN_SECONDS as MIN_SECONDS
from humo.media.sounds import SILENCE as SILENCE
from humo.media.sounds import Sound as Sound
from humo.media.sounds import read_sound as read_sound
from humo.media.sounds import read_waveform as read_waveform
from humo.media.sounds import warm_up as warm_up
from humo.media.video import AI_NOTICE as AI_NOTICE
from humo.media.video import check_video_path as check_video_path
from humo.media.video import write_video as write_video
