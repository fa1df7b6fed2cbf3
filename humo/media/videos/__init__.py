"""Videos that somebody brings, read frame by frame. Ours."""

from humo.media.videos.reading import Footage as Footage
from humo.media.videos.reading import read_video as read_video
