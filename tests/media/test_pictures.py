"""humo.media.pictures: what scanners, cameras and telephones write, beside what is true.

Run: python -m pytest tests/media/test_pictures.py
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest
import tifffile
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from humo.media import read_picture

COLOURS = np.zeros((64, 48, 3))
COLOURS[:32], COLOURS[32:] = (0.8, 0.4, 0.2), (0.1, 0.5, 0.9)
GREY = COLOURS[..., 0]
LAST = {"int16": 2**15 - 1, "uint16": 2**16 - 1, "int32": 2**16 - 1, "uint32": 2**32 - 1}
"""Full scales; int32 is used for 16 bits, as many programs do."""


def _differs(path: Path, true: np.ndarray) -> float:
    """Largest difference of a picture from what is in it, of 1."""
    return np.abs(np.asarray(read_picture(path)) / 255 - (true if true.ndim == 3 else true[..., None])).max()


def _tiff(path: Path, values: np.ndarray, kind: str, **options: object) -> Path:
    tifffile.imwrite(path, (values * LAST.get(kind, 1)).astype(kind), **options)
    return path


@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "float32"])
def test_deep_grey_tiffs(tmp_path: Path, kind: str) -> None:
    assert _differs(_tiff(tmp_path / "a.tif", GREY, kind, photometric="minisblack"), GREY) < 0.01
    assert _differs(_tiff(tmp_path / "b.tif", 0.5 * GREY, kind, photometric="minisblack"), 0.5 * GREY) < 0.01


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_tiffs_in_which_zero_is_white(tmp_path: Path, kind: str) -> None:
    dark = 1 - GREY
    dark[0] = 1.0  # floats do not say what is white: the largest of them
    assert _differs(_tiff(tmp_path / "a.tif", dark, kind, photometric="miniswhite"), 1 - dark) < 0.01


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"tile": (32, 32)}], ids=str)
def test_colour_tiffs(tmp_path: Path, options: dict[str, object]) -> None:
    assert _differs(_tiff(tmp_path / "a.tif", COLOURS, "uint16", photometric="rgb", **options), COLOURS) < 0.01


@pytest.mark.parametrize("coding", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"])
def test_packed_tiffs(tmp_path: Path, coding: str) -> None:
    Image.fromarray(np.rint(255 * COLOURS).astype(np.uint8)).save(tmp_path / "a.tif", compression=coding)
    assert _differs(tmp_path / "a.tif", COLOURS) < 0.03


def test_tiffs_that_are_refused_say_why(tmp_path: Path) -> None:
    planes = {"photometric": "rgb", "planarconfig": "separate"}
    for path, words in (
        (_tiff(tmp_path / "a.tif", np.moveaxis(COLOURS, -1, 0), "uint16", **planes), "16 bits a colour in separate"),
        (_tiff(tmp_path / "b.tif", 127 * GREY, "int8", photometric="minisblack"), "signed numbers of 8 bits"),
        (_tiff(tmp_path / "c.tif", GREY, "uint32", photometric="minisblack"), "without a known full scale"),
        (_tiff(tmp_path / "d.tif", GREY, "float64", photometric="minisblack"), "or a TIFF of a rare kind"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            read_picture(path)
        assert str(error.value).startswith(f"picture {path.name} ")


def test_a_pillow_whose_tiff_decoder_is_not_safe_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _tiff(tmp_path / "a.tif", COLOURS, "uint16", photometric="rgb")
    monkeypatch.setattr(PIL, "__version__", "11.3.0")  # which moviepy brings
    with pytest.raises(ValueError, match=r"^picture a\.tif is a TIFF, which Pillow 11\.3\.0 does not read safely"):
        read_picture(path)


def test_heic_of_a_telephone(tmp_path: Path) -> None:
    path = tmp_path / "photograph.heic"
    path.write_bytes(_heic(tmp_path, np.rint(255 * COLOURS).astype(np.uint8)))
    assert _differs(path, COLOURS) < 0.05
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="photograph.heic is damaged"):
        read_picture(path)


def _heic(folder: Path, pixels: np.ndarray) -> bytes:
    """A picture as a frame of H.265 in the container that telephones use (ISO/IEC 23008-12)."""
    height, width = pixels.shape[:2]
    given = f"-v error -f rawvideo -pix_fmt rgb24 -video_size {width}x{height} -i pipe:0".split()
    colours = ["-vf", "scale=out_color_matrix=bt601:out_range=pc,format=yuv420p", "-colorspace", "smpte170m"]
    coding = ["-color_range", "pc", "-c:v", "libx265", "-crf", "5", "-x265-params", "log-level=0"]
    command = [get_ffmpeg_exe(), *given, *colours, *coding, str(folder / "frame.mp4")]
    subprocess.run(command, input=pixels.tobytes(), check=True)
    movie = (folder / "frame.mp4").read_bytes()

    def cut(name: bytes) -> bytes:
        place = movie.index(name) - 4
        return movie[place : place + struct.unpack(">I", movie[place : place + 4])[0]]

    def box(name: bytes, *content: bytes) -> bytes:
        inside = b"".join(content)
        return struct.pack(">I", 8 + len(inside)) + name + inside

    setup, data, full = cut(b"hvcC"), cut(b"mdat")[8:], bytes(4)
    size = box(b"ispe", full, struct.pack(">II", width, height))
    kind = box(b"ftyp", b"heic", full, b"mif1heic")

    def meta(begin: int) -> bytes:
        return box(
            b"meta",
            full,
            box(b"hdlr", full, full, b"pict", bytes(13)),
            box(b"pitm", full, struct.pack(">H", 1)),
            box(b"iloc", full, b"\x44\x00", struct.pack(">HHHHII", 1, 1, 0, 1, begin, len(data))),
            box(b"iinf", full, struct.pack(">H", 1), box(b"infe", b"\x02\0\0\0\0\x01\0\0hvc1\0")),
            box(b"iprp", box(b"ipco", setup, size), box(b"ipma", full, struct.pack(">IHBBB", 1, 1, 2, 0x81, 2))),
        )

    return kind + meta(len(kind) + len(meta(0)) + 8) + box(b"mdat", data)
