"""humo.media: every bad file gives one sentence; good ones come back right.

Run: python -m pytest tests/media/test_media.py
"""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, ImageCms

from humo import media
from humo.media.decoding import decode_sound
from humo.shots.cuts import cut_sound


def _voice(seconds: float = 1.0, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (220 + 30 * c) * time) for c in range(channels)], axis=1).astype("f4")


def _png_of_size(path: Path, width: int, height: int) -> Path:
    """A PNG whose header promises many pixels and whose file is small."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )
    return path


def _one_sentence(error: pytest.ExceptionInfo[ValueError], folder: Path) -> None:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and str(folder) not in text


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.png", b"", "empty file"),
        ("a.png", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        ("a.png", b"hello, not a picture at all", "no picture inside"),
        ("a.jpg", b"%PDF-1.7 ....", "PDF"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "damaged"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "damaged"),
    ],
)
def test_bad_pictures_by_content(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=expected) as error:
        media.read_picture(path)
    _one_sentence(error, tmp_path)


def test_truncated_picture(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match="damaged") as error:
        media.read_picture(path)
    _one_sentence(error, tmp_path)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((8000, 5000), "40 megapixels"),
        ((6000, 6000), "36 megapixels"),
        ((30000, 30000), "too many pixels"),
        ((8, 200), "at least 16"),
    ],
)
def test_picture_sizes_are_refused_from_the_header(tmp_path: Path, size: tuple[int, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as error:
        media.read_picture(_png_of_size(tmp_path / "big.png", *size))
    _one_sentence(error, tmp_path)


def test_missing_and_folder(tmp_path: Path) -> None:
    for read in (media.read_picture, media.read_sound):
        with pytest.raises(ValueError, match="does not exist"):
            read(tmp_path / "nothing.png")
        with pytest.raises(ValueError, match="is a folder"):
            read(tmp_path)


def test_picture_alpha_rotation_and_depth(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert media.read_picture(tmp_path / "clear.png").getpixel((5, 5)) == (255, 255, 255)

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    Image.new("RGB", (60, 20), "blue").save(tmp_path / "turned.jpg", exif=exif)
    assert media.read_picture(tmp_path / "turned.jpg").size == (20, 60)

    Image.fromarray(np.full((20, 20), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert media.read_picture(tmp_path / "deep.png").getpixel((3, 3)) == (128, 128, 128)

    for kind in ("webp", "bmp", "gif", "jpg"):
        Image.new("RGB", (20, 24), "green").save(tmp_path / f"a.{kind}")
        read = media.read_picture(tmp_path / f"a.{kind}")
        assert read.mode == "RGB" and read.size == (20, 24)
    assert media.read_picture(Image.new("L", (20, 20))).mode == "RGB"


def test_bad_sounds(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "really.png")
    (tmp_path / "really.png").rename(tmp_path / "picture.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"no sound here")
    (tmp_path / "broken.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt " + b"\xff" * 30)
    (tmp_path / "broken.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + b"\0" * 40)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "short.wav", _voice(0.05), 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "long.wav", np.zeros(600 * 8_000, np.int16), 8_000)
    soundfile.write(tmp_path / "many.wav", _voice(1.0, channels=12), 16_000)
    soundfile.write(tmp_path / "slow.wav", _voice(1.0, 4_000), 4_000)
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", 1e6 * _voice(1.0), 16_000, subtype="FLOAT")
    expected = {
        "picture.wav": "PNG data, not a sound",
        "empty.wav": "empty file",
        "text.wav": "no sound inside",
        "broken.wav": "damaged",
        "broken.m4a": "damaged",
        "none.wav": "no samples",
        "short.wav": "at least 0.2",
        "silent.wav": "is silent",
        "long.wav": "10 minutes or more",
        "many.wav": "12 channels",
        "slow.wav": "4000 Hz",
        "nan.wav": "invalid numbers",
        "loud.wav": "times too loud",
    }
    for name, words in expected.items():
        with pytest.raises(ValueError, match=re.escape(words)) as error:
            media.read_sound(tmp_path / name)
        _one_sentence(error, tmp_path)


@pytest.mark.slow
def test_a_small_file_does_not_become_a_large_one(tmp_path: Path) -> None:
    silence = ["-f", "lavfi", "-i", "anullsrc=r=192000:cl=7.1", "-t", "90", "-c:a", "flac"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *silence, str(tmp_path / "small.mp4")], check=True)
    assert (tmp_path / "small.mp4").stat().st_size < 2**20
    decoded = decode_sound(tmp_path / "small.mp4", "MP4", 601, 10**7)
    assert 10**7 < decoded.samples.size < 1.2 * 10**7, "of 138 million"
    with pytest.raises(ValueError, match="more than 80 million samples"):
        media.read_sound(tmp_path / "small.mp4")


def test_sound_is_heard_mono_at_16_khz_and_kept_as_given(tmp_path: Path) -> None:
    given = _voice(1.5, 44_100, channels=2)
    soundfile.write(tmp_path / "voice.wav", given, 44_100, subtype="FLOAT")
    sound = media.read_sound(tmp_path / "voice.wav")
    assert sound.rate == 44_100 and sound.duration == pytest.approx(1.5, abs=1e-3)
    np.testing.assert_array_equal(sound.original, given)
    assert sound.waveform.shape == (24_000,) and sound.waveform.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(sound.waveform))
    assert abs(np.argmax(spectrum) / 1.5 - 220) < 40

    again = media.read_sound((given[:, 0], 44_100))
    assert again.original.shape == (len(given), 1) and again.waveform.shape == (24_000,)
    assert media.read_sound(((given * 32767).astype(np.int16), 44_100)).original.max() < 1


FORMATS = (
    "flac ogg opus mp3 m4a webm aac caf w64 wma ac3 au aiff avi mov mkv wv tta voc mp2 ts flv 3gp:libopencore_amrnb "
    "amr:libopencore_amrnb wav:adpcm_ms wav:adpcm_ima_wav wav:pcm_mulaw wav:pcm_f64le ogg:flac"
)


@pytest.mark.parametrize("form", FORMATS.split())
def test_other_sound_formats(tmp_path: Path, form: str) -> None:
    suffix, _, codec = form.partition(":")
    rate = 8_000 if "amr" in codec else 48_000
    soundfile.write(tmp_path / "given.wav", _voice(1.0, rate), rate)
    path = tmp_path / f"voice.{suffix}"
    coding = ["-c:a", codec] if codec else []
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "given.wav"), *coding, str(path)]
    subprocess.run(command, check=True)
    sound = media.read_sound(path)
    assert sound.duration == pytest.approx(1.0, abs=0.1)
    close = 0.4 if "amr" in codec else 0.15  # made for speech, not for a tone
    assert np.sqrt(np.mean(sound.waveform**2)) == pytest.approx(0.3 / np.sqrt(2), rel=close)


@pytest.mark.parametrize("suffix", ["mp3", "flac", "wav", "ogg", "matroska", "caf"])
def test_what_was_written_into_a_pipe_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    """Its header says nothing of its length, or something wrong."""
    quiet_start = np.concatenate([np.zeros((48_000, 1), np.float32), _voice(3.0, 48_000)])
    soundfile.write(tmp_path / "given.wav", quiet_start, 48_000)
    quality = ["-q:a", "4"] if suffix == "mp3" else []
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "given.wav"), *quality, "-f", suffix, "pipe:1"]
    path = tmp_path / f"piped.{suffix}"
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert media.read_sound(path).duration == pytest.approx(4.0, abs=0.06)


def test_a_sound_that_starts_after_the_picture_keeps_its_place(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "given.wav", _voice(1.0, 48_000), 48_000)
    late = ["-f", "lavfi", "-i", "color=size=32x32:rate=25:duration=2", "-itsoffset", "0.5", "-i"]
    command = [get_ffmpeg_exe(), "-v", "error", *late, str(tmp_path / "given.wav"), "-c:a", "pcm_s16le"]
    subprocess.run([*command, str(tmp_path / "late.mkv")], check=True)
    sound = media.read_sound(tmp_path / "late.mkv")
    first = np.flatnonzero(np.abs(sound.waveform) > 0.05)[0] / 16_000
    assert first == pytest.approx(0.5, abs=0.02) and sound.duration == pytest.approx(1.5, abs=0.05)


def test_a_mix_that_loses_the_voice_is_heard_by_one_channel() -> None:
    voice = _voice(1.0)[:, 0]
    level = np.sqrt(np.mean(voice**2))

    def heard(channels: list[np.ndarray]) -> tuple[float, tuple[str, ...]]:
        sound = media.read_sound((np.stack(channels, 1), 16_000))
        return float(np.sqrt(np.mean(sound.waveform**2))), sound.notes

    assert heard([voice, voice]) == (pytest.approx(level), ())
    assert heard([voice, 0 * voice])[1] == ()
    inverted, notes = heard([voice, -voice])
    assert inverted == pytest.approx(level) and "number 1 alone" in notes[0]
    film = [0.3 * np.sin(np.arange(16_000) * pitch) for pitch in (0.5, 0.9, 0.0, 1.3, 1.7, 2.1)]
    film[2] = voice
    middle, notes = heard(film)
    assert middle == pytest.approx(level, rel=1e-3) and "number 3 alone" in notes[0]
    whole = media.read_sound((np.stack([voice, -voice], 1), 16_000))
    assert whole.notes and cut_sound(whole, 0, 10).notes == (), "said of the whole, not of every shot"


def test_samples_in_every_usual_form() -> None:
    voice = _voice(1.0, channels=2)
    for given in (
        (voice, 16_000.0),
        (16_000, voice),
        [voice, np.int64(16_000)],
        (voice.T, 16_000),
        ((voice * 2**31).astype(np.int32), 16_000),
        (np.rint(voice * 127 + 128).astype(np.uint8), 16_000),
        {"array": voice, "sampling_rate": 16_000},
    ):
        np.testing.assert_allclose(media.read_sound(given).original, voice, atol=0.01)
    for given, words in (
        ((voice, 16_000.5), "whole number of Hz"),
        ((voice, "fast"), "rate is 'fast'"),
        ((voice, 16_000, 3), "tuple of 3 things"),
        ((voice > 0, 16_000), "samples are bool"),
        ({"array": voice}, "without array and sampling_rate"),
        (16_000, "sound is a int"),
        ((voice[None], 16_000), r"shape \(1, 16000, 2\)"),
    ):
        with pytest.raises(ValueError, match=words):
            media.read_sound(given)


def test_pictures_in_other_colours_depths_and_as_arrays(tmp_path: Path) -> None:
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    Image.new("RGB", (20, 20), (200, 30, 40)).save(tmp_path / "odd.png", icc_profile=wide.tobytes())
    assert media.read_picture(tmp_path / "odd.png").getpixel((3, 3)) == (200, 30, 40), "a profile of other colours"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.new("RGB", (20, 20), (200, 30, 40)).save(tmp_path / "same.png", icc_profile=srgb.tobytes())
    assert media.read_picture(tmp_path / "same.png").getpixel((3, 3)) == (200, 30, 40)
    grey = np.full((20, 24), 128, np.uint8)
    for picture in (
        Image.fromarray((grey / 255).astype(np.float32)),
        Image.fromarray(grey.astype(np.int32) * 257),
        Image.fromarray(grey.astype(np.int32)),
        grey,
        np.repeat(grey[..., None] / 255, 3, -1),
    ):
        assert media.read_picture(picture).getpixel((3, 3)) == (128, 128, 128)
    for picture, words in (
        (Image.fromarray(np.full((20, 20), np.nan, np.float32)), "without a known full scale"),
        (np.full((20, 20, 2), 1, np.uint8), "shape"),
        (np.full((20, 20), 300), "pixels of int64"),
        (np.full((20, 20), 1.5), r"outside of \[0, 1\]"),
        (3.0, "picture is a float"),
    ):
        with pytest.raises(ValueError, match=words):
            media.read_picture(picture)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("extra", [0, 1, 7])
def test_a_sound_is_resampled_as_by_librosa(rate: int, extra: int) -> None:
    import librosa

    samples = np.random.default_rng(0).normal(0, 0.1, rate // 4 + extra).astype(np.float32)
    waveform = media.read_sound((samples, rate)).waveform
    assert np.array_equal(waveform, librosa.resample(samples, orig_sr=rate, target_sr=16_000))
