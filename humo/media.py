"""Pictures and sound in, video out: every file of a visitor passes through here before anything is computed.

Notable choices (all ours):
- A file is judged by its first bytes, never by its name; the decoder is then told the format, so that a
  playlist or a drawing with a harmless name reaches no parser.
- Sizes and lengths are read from the header and refused before the pixels or samples are decoded.
- Whatever is wrong is one `ValueError` of one sentence, with the file's name and never its folder: the page,
  the command line and the library show it as it is.
- A video says in its own metadata that it is AI-generated.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageOps

SAMPLE_RATE = 16_000
"""Hz, the rate at which every audio encoder of HuMo listens."""
MAX_PIXELS = 32_000_000
"""Largest picture, width times height."""
MIN_SIDE = 16
"""Smallest side of a picture, pixels."""
MIN_SECONDS, MAX_SECONDS = 0.2, 600.0
"""A sound lasts at least the first and less than the second."""
MAX_CHANNELS = 8
MAX_SAMPLES = 80_000_000
_DECODING_SECONDS = 120
"""Samples times channels; keeps a decoded sound under 320 MB."""
SILENCE = 1e-3
"""Peak below which a sound counts as silent (-60 dB of full scale)."""
LOUDEST = 100.0
"""Peak of a sound, where full scale is 1; floats can be so loud that nobody can reckon with them."""
AI_NOTICE = "AI-generated video, made with HuMo, compact: not a recording of real events."

# What a file is, by its first bytes: (kind, offset, bytes).
# fmt: off
_MAGIC = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"), ("JPEG", 0, b"\xff\xd8\xff"), ("GIF", 0, b"GIF8"), ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\x00"), ("TIFF", 0, b"MM\x00*"), ("WEBP", 8, b"WEBP"), ("AVIF", 4, b"ftypavif"),
    ("HEIC", 4, b"ftyphei"), ("HEIC", 4, b"ftypmif1"), ("WAV", 8, b"WAVE"), ("FLAC", 0, b"fLaC"),
    ("OGG", 0, b"OggS"), ("AIFF", 8, b"AIF"), ("MP3", 0, b"ID3"), ("MP4", 4, b"ftyp"),
    ("WEBM", 0, b"\x1a\x45\xdf\xa3"), ("PDF", 0, b"%PDF"), ("ZIP", 0, b"PK\x03\x04"),
)
# fmt: on
_PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")
_SOUNDFILE_SOUNDS = ("WAV", "FLAC", "OGG", "AIFF", "MP3")
_FFMPEG_DEMUXERS = {"MP4": "mov", "WEBM": "matroska", "AAC": "aac"}
_PICTURES_ASKED = "give a PNG, JPEG, WebP, GIF, BMP or TIFF picture"
_SOUNDS_ASKED = "give a WAV, FLAC, OGG, MP3 or M4A sound"


@dataclass(frozen=True)
class Sound:
    """A checked sound: what the model hears and what the video plays."""

    waveform: np.ndarray
    """Mono at 16 kHz, float32 (samples,), about [-1, 1]."""
    original: np.ndarray
    """As given, float32 (samples, channels), about [-1, 1]."""
    rate: int
    """Hz of `original`."""
    is_levelled: bool = False
    """Whether `waveform` has the level at which the model hears best (`humo.loudness`)."""

    @property
    def duration(self) -> float:
        """Length of the given sound in seconds."""
        return len(self.original) / self.rate


def kind_of(path: str | Path) -> str:
    """Name what a file holds by its first bytes.

    Args:
        path: an existing file.

    Returns:
        "PNG", "JPEG", "SVG", "WAV", "MP3", "MP4", ... or "unknown".
    """
    with open(path, "rb") as file:
        head = file.read(1024)
    for kind, offset, magic in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if b"<svg" in head.lower():
        return "SVG"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "AAC" if head[1] & 0x06 == 0 else "MP3"  # MPEG frame sync; layer 0 is ADTS
    return "unknown"


def _existing_file(path: str | Path, what: str) -> Path:
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{what} {path.name} does not exist: check the name.")
    if not path.is_file():
        raise ValueError(f"{what} {path.name} is a folder: give a file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{what} {path.name} is an empty file: give one with content.")
    return path


def read_picture(picture: str | Path | Image.Image) -> Image.Image:
    """Read and check a picture.

    Args:
        picture: a path, or a picture that is already open.

    Returns:
        RGB picture, 8 bits, upright (EXIF rotation applied), transparent parts on white; of an animation the
        first image.

    Raises:
        ValueError: if it is missing, empty, not a raster picture by its content, damaged, larger than 32
            megapixels or smaller than 16 pixels on a side.
    """
    if isinstance(picture, Image.Image):
        _check_picture_size(picture, "picture")
        return _upright_rgb(picture)
    if not isinstance(picture, str | Path):
        raise ValueError(f"picture is a {type(picture).__name__}: give the path of a file, or a picture of PIL.")
    path = _existing_file(picture, "picture")
    kind = kind_of(path)
    if kind == "SVG":
        raise ValueError(f"picture {path.name} is an SVG drawing, not pixels: {_PICTURES_ASKED}.")
    if kind not in _PICTURES:
        found = "has no picture inside" if kind == "unknown" else f"holds {kind} data, not a picture that we read"
        raise ValueError(f"picture {path.name} {found}: {_PICTURES_ASKED}.")
    try:
        with Image.open(path, formats=[kind]) as opened:
            _check_picture_size(opened, f"picture {path.name}")
            return _upright_rgb(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"picture {path.name} has far too many pixels: at most 32 megapixels, shrink it.") from None
    except _Refused:
        raise
    except Exception:  # PIL's decoders raise OSError, SyntaxError, struct.error, ... on damaged files
        raise ValueError(f"picture {path.name} is damaged and cannot be decoded: save it again as PNG.") from None


class _Refused(ValueError):
    """A sentence of ours, told apart from the ValueErrors of PIL's decoders."""


def _check_picture_size(picture: Image.Image, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _Refused(
            f"{name} has {width}x{height} = {width * height / 1e6:.0f} megapixels, at most "
            f"{MAX_PIXELS // 10**6} are allowed: shrink it."
        )
    if min(width, height) < MIN_SIDE:
        raise _Refused(f"{name} has {width}x{height} pixels, at least {MIN_SIDE} a side are needed: give a larger one.")


def _upright_rgb(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # PIL would clip 16-bit grey to 255 instead of scaling it
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def read_sound(sound: str | Path | tuple[np.ndarray, int] | Sound) -> Sound:
    """Read and check a sound.

    Args:
        sound: a path (WAV, FLAC, OGG, MP3, AIFF, M4A/MP4, WebM), or (samples, rate in Hz) with samples
            (samples,) or (samples, channels), float in about [-1, 1] or int16. One that is already read is
            taken as it is, so that a part of a sound may be silent.

    Returns:
        The sound as the model hears it and as it was given.

    Raises:
        ValueError: if it is missing, empty, not a sound by its content, damaged, silent, under 0.2 s,
            10 minutes or longer, of more than 8 channels, or at a rate outside 8 to 192 kHz.
    """
    if isinstance(sound, Sound):
        return sound
    if isinstance(sound, tuple):
        return _read_samples(*sound)
    path = _existing_file(sound, "sound")
    kind = kind_of(path)
    if kind in _SOUNDFILE_SOUNDS:
        return _read_with_soundfile(path, f"sound {path.name}")
    if kind in _FFMPEG_DEMUXERS:
        return _read_with_ffmpeg(path, _FFMPEG_DEMUXERS[kind], f"sound {path.name}")
    found = "has no sound inside" if kind == "unknown" else f"holds {kind} data, not a sound"
    raise ValueError(f"sound {path.name} {found}: {_SOUNDS_ASKED}.")


def _read_samples(samples: np.ndarray, rate: int) -> Sound:
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise ValueError(f"sound has shape {samples.shape}: give (samples,) or (samples, channels).")
    if samples.dtype == np.int16:
        samples = samples / np.float32(32768)
    samples = samples[:, None] if samples.ndim == 1 else samples
    _check_sound_header(*samples.shape, rate, "sound")
    return _checked(samples.astype(np.float32), rate, "sound")


def _read_with_soundfile(path: Path, name: str) -> Sound:
    try:
        with soundfile.SoundFile(str(path)) as file:
            _check_sound_header(file.frames, file.channels, file.samplerate, name)
            samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except soundfile.LibsndfileError:
        raise ValueError(f"{name} is damaged and cannot be decoded: save it again as WAV.") from None
    return _checked(samples, rate, name)


def _read_with_ffmpeg(path: Path, demuxer: str, name: str) -> Sound:
    """Formats that libsndfile does not know, such as the voice memos of telephones, become a WAV first."""
    from imageio_ffmpeg import get_ffmpeg_exe

    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        # Only local files and only this demuxer: a crafted container may not name other files or addresses.
        given = f"-v error -nostdin -protocol_whitelist file -f {demuxer} -i".split() + [str(path.resolve())]
        # Silence packs small: no more is written than shows that there is too much.
        wanted = f"-vn -t {MAX_SECONDS + 1} -c:a pcm_s16le -fs {2.2 * MAX_SAMPLES:.0f}".split() + [str(wav)]
        command = [get_ffmpeg_exe(), *given, *wanted]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_DECODING_SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{name} takes too long to decode: save it again as WAV.") from None
        if done.returncode != 0 or not wav.exists():
            raise ValueError(f"{name} has no sound that can be decoded: {_SOUNDS_ASKED}.")
        return _read_with_soundfile(wav, name)


def _check_sound_header(num_samples: int, channels: int, rate: int, name: str) -> None:
    if channels > MAX_CHANNELS:
        raise ValueError(f"{name} has {channels} channels, at most {MAX_CHANNELS} are allowed: mix it down to stereo.")
    if not 8_000 <= rate <= 192_000:
        raise ValueError(f"{name} has a sample rate of {rate} Hz, allowed are 8000 to 192000: convert it to 48000.")
    if num_samples == 0:
        raise ValueError(f"{name} is empty, it has no samples: give one of {MIN_SECONDS} s or more.")
    seconds = num_samples / rate
    if seconds < MIN_SECONDS:
        raise ValueError(f"{name} lasts {seconds:.2f} s, at least {MIN_SECONDS} s are needed: give a longer one.")
    if seconds >= MAX_SECONDS:
        raise ValueError(f"{name} lasts {seconds / 60:.1f} minutes, under 10 are allowed: cut it.")
    if num_samples * channels > MAX_SAMPLES:
        raise ValueError(
            f"{name} holds {num_samples * channels / 1e6:.0f} million samples, at most "
            f"{MAX_SAMPLES // 10**6} are allowed: save it with fewer channels or at 48000 Hz."
        )


def _checked(samples: np.ndarray, rate: int, name: str) -> Sound:
    _check_sound_header(*samples.shape, rate, name)  # again: a header may promise more than the file holds
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} contains invalid numbers (NaN or infinity): save it again as 16-bit WAV.")
    peak = np.abs(samples).max()
    if peak < SILENCE:
        raise ValueError(f"{name} is silent: give one in which somebody speaks.")
    if peak > LOUDEST:
        raise ValueError(f"{name} is {peak:.0e} times too loud, its samples must be within ±1: save it as 16-bit WAV.")
    return Sound(_heard(samples, rate), samples, rate)


def _heard(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mono at 16 kHz: float32 (samples,)."""
    mono = samples.mean(axis=1)
    if rate == SAMPLE_RATE:
        return mono
    import librosa  # slow to import, and 16 kHz sounds never need it

    return librosa.resample(mono, orig_sr=rate, target_sr=SAMPLE_RATE).astype(np.float32)


def warm_up() -> None:
    """Do the first resampling, whose imports take seconds; for servers, while nobody waits."""
    _heard(np.ones((8_000, 1), np.float32), 8_000)


def write_video(
    path: str | Path,
    frames: np.ndarray,
    fps: float = 25,
    audio: tuple[np.ndarray, int] | None = None,
    metadata: dict | None = None,
    scale: int = 1,
) -> Path:
    """Write an mp4 that every browser plays: H.264, yuv420p, BT.709, index at the front, AAC sound.

    The sound keeps its length, also where it is longer than the frames. The file appears whole or not at all.

    Args:
        path: the file to write, ending in .mp4, in an existing folder.
        frames: uint8 RGB, (f, h, w, 3).
        fps: frames a second.
        audio: (samples (samples,) or (samples, channels) float in [-1, 1], rate in Hz), or None.
        metadata: settings to store as JSON in the file's description; the comment always says AI-generated.
        scale: whole number by which the pictures are enlarged (Lanczos).

    Returns:
        The path.

    Raises:
        ValueError: if path, frames or scale are not as above.
        OSError: if the encoder fails, for example on a full disk.
    """
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    path = check_video_path(path)
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames are {frames.dtype} of shape {frames.shape}: give uint8 of shape (f, h, w, 3).")
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale is {scale}: give a whole number from 1 on.")
    height, width = (side * int(scale) for side in frames.shape[1:3])
    if height % 2 or width % 2:
        raise ValueError(f"the video would have {width}x{height} pixels: both must be even for yuv420p.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".humo-") as folder:
        part, log = Path(folder) / "part.mp4", Path(folder) / "log.txt"
        with open(log, "w+") as logfile:
            writer = FFMPEG_VideoWriter(
                str(part),
                size=(frames.shape[2], frames.shape[1]),
                fps=fps,
                codec="libx264",
                preset="veryfast",  # half the time of moviepy's "medium" for files of the same size
                logfile=logfile,
                audiofile=_write_wav(Path(folder) / "sound.wav", audio),
                audio_codec="aac",
                ffmpeg_params=_encoder_options(width, height, metadata),
            )
            process = writer.proc
            for frame in frames:
                writer.write_frame(np.ascontiguousarray(frame))
            writer.close()  # which does not look at the exit code
        if process.returncode != 0:
            raise OSError(f"the video encoder failed: {log.read_text().strip().splitlines()[-1]}")
        os.replace(part, path)
    return path


def check_video_path(path: str | Path) -> Path:
    """Check where a video shall go, before minutes are spent on making it.

    Raises:
        ValueError: if the name does not end in .mp4 or the folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"the video's name {path.name} must end in .mp4.")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path} cannot be written: choose a file name in a folder that exists.")
    return path


def _write_wav(path: Path, audio: tuple[np.ndarray, int] | None) -> str | None:
    if audio is None:
        return None
    samples, rate = audio
    soundfile.write(str(path), samples, rate, subtype="FLOAT")
    return str(path)


def _encoder_options(width: int, height: int, metadata: dict | None) -> list[str]:
    # The matrix is named: players guess BT.601 or BT.709 by size, and a wrong guess shifts skin tones.
    picture = f"scale={width}:{height}:flags=lanczos:out_color_matrix=bt709:out_range=tv,format=yuv420p"
    picture += ",setparams=color_primaries=bt709:color_trc=bt709"
    options = [
        "-vf",
        picture,
        "-colorspace",
        "bt709",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-crf",
        "17",
        "-b:a",
        "160k",
        "-movflags",
        "+faststart",
        "-metadata",
        f"comment={AI_NOTICE}",
    ]
    if metadata:
        options += ["-metadata", f"description={json.dumps(metadata, ensure_ascii=False, default=str)}"]
    return options
