"""What travels between a live session and its player: sound in, and pieces of pictures and sound out. Ours.

A piece is one answer: a line of JSON, the sound as int16 (little-endian), then one JPEG with all frames below one
another, which every browser decodes at once and off its main thread. At 128 pixels a second takes some 150 kB.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from humo.media import Sound
from humo.timing import FPS

QUALITY = 90
"""Of the JPEG."""
MOST_BYTES = 1 << 20
"""Of one stretch of sound that comes in: at 48 kHz eleven seconds."""


def read_sound_bytes(body: bytes) -> np.ndarray:
    """A stretch of sound as it comes in, int16 (samples,).

    Raises:
        ValueError: if it is none.
    """
    if len(body) % 2 or len(body) > MOST_BYTES:
        raise ValueError(f"the sound has {len(body):,} bytes: send 16-bit samples, at most {MOST_BYTES >> 20} MiB.")
    return np.frombuffer(body, "<i2").astype(np.int16)


def pack_piece(frames: np.ndarray, sound: np.ndarray, about: dict[str, Any]) -> bytes:
    """A piece as it goes out.

    Args:
        frames: uint8 (f, height, width, 3).
        sound: float32 (samples,).
        about: what else the player is told.
    """
    num_frames, height, width, _ = frames.shape
    samples = (np.clip(sound, -1, 1) * (2**15 - 1)).astype("<i2")
    head = {**about, "frames": num_frames, "fps": FPS, "height": height, "width": width, "samples": len(samples)}
    strip = io.BytesIO()
    Image.fromarray(frames.reshape(num_frames * height, width, 3)).save(strip, "JPEG", quality=QUALITY, subsampling=0)
    return json.dumps(head).encode() + b"\n" + samples.tobytes() + strip.getvalue()


def as_wav(sound: Sound) -> bytes:
    """A sound as every browser can decode it: WAV, mono, 16 bits, at its own rate."""
    file = io.BytesIO()
    soundfile.write(file, sound.original.mean(1), sound.rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
