"""HuMoSet's layout: rows, videos, faces, filters, hostile files. Run: pytest tests/finetuning/test_dataset.py"""

import os
import shutil
import subprocess
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tiny
from PIL import Image, ImageFilter

from humo.finetuning.dataset.buckets import bucket_sizes, choose_length, choose_size
from humo.finetuning.dataset.clips.examine import examine
from humo.finetuning.dataset.clips.faces import DetectedFaces, main_track, mask_on_grid, opencv_detector
from humo.finetuning.dataset.clips.filters import brightness, motion, sharpness
from humo.finetuning.dataset.clips.video import check_rate, probe, read_frames, read_waveform
from humo.finetuning.dataset.dropping import Drop
from humo.finetuning.dataset.example import write_example, write_table
from humo.finetuning.dataset.rows import Row, RowTable, find_files
from humo.finetuning.dataset.settings import PrepareSettings
from humo.media import write_video
from humo.timing import SAMPLE_RATE

SETTINGS = PrepareSettings(area=64 * 64, multiple=32, spatial_scale=16, max_frames=17, min_frames=9, frame_step=8)
NOISE = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3)).astype(np.uint8)
VOICE = tiny.voice(0.8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return folder, write_example(folder, 2, num_frames=21, size=64)


def row(key, caption="a man talks", number=0):
    return Row(number, key, caption)


# Rows


def test_rows_are_streamed_in_order_and_cut_into_units(tmp_path):
    (tmp_path / "video").mkdir()
    write_table(tmp_path, [f"{n}.mp4" for n in range(10)], [f"caption {n}" for n in range(10)])
    table = RowTable(tmp_path)
    assert len(table) == 10 and (table.key_column, table.caption_column) == ("video", "caption")
    units = list(table.units(4))
    assert [index for index, _ in units] == [0, 1, 2]
    assert [[r.number for r in rows] for _, rows in units] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert units[2][1][1] == Row(9, "9.mp4", "caption 9")


def test_a_table_may_be_a_folder_of_files(tmp_path):
    (tmp_path / "video").mkdir()
    write_table(tmp_path, ["a", "b"], ["x", "y"])
    (tmp_path / "video_caption.parquet").rename(tmp_path / "part")
    (tmp_path / "video_caption.parquet").mkdir()
    for name in ("0.parquet", "1.parquet"):
        shutil.copy(tmp_path / "part", tmp_path / "video_caption.parquet" / name)
    assert [(r.number, r.key) for r in RowTable(tmp_path)] == [(0, "a"), (1, "b"), (2, "a"), (3, "b")]


def test_unknown_columns_and_damaged_tables_are_told(tmp_path):
    (tmp_path / "video").mkdir()
    with pytest.raises(ValueError, match="no video_caption.parquet"):
        RowTable(tmp_path)
    write_table(tmp_path, ["a"], ["b"])
    with pytest.raises(ValueError, match="has the columns video, caption: name one of them as key_column"):
        RowTable(tmp_path, key_column="clip")
    (tmp_path / "video_caption.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match="damaged or no parquet"):
        RowTable(tmp_path)


def test_references_alone_numbered_or_in_a_folder(source, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(source[0], folder)
    key = "video/clip-00000.mp4"  # the folder's name may be written in the table
    assert [f.name for f in find_files(folder, row(key), 3, True).references] == ["clip-00000.png"]
    pictures = folder / "reference_image"
    single = pictures / "clip-00000.png"
    for name in ("clip-00000_1.png", "clip-00000_0.png"):
        shutil.copy(single, pictures / name)
    single.unlink()
    assert [f.name for f in find_files(folder, row(key), 3, True).references] == [
        "clip-00000_0.png",
        "clip-00000_1.png",
    ]
    assert len(find_files(folder, row(key), 1, True).references) == 1
    (pictures / "clip-00001").mkdir()
    (pictures / "clip-00001.png").rename(pictures / "clip-00001" / "a.png")
    assert [f.name for f in find_files(folder, row("clip-00001"), 3, True).references] == ["a.png"]


# Buckets


@pytest.mark.parametrize("area, multiple", [(480 * 832, 16), (720 * 1280, 16), (128 * 128, 32), (40 * 40, 16)])
def test_buckets_keep_to_the_area_and_the_multiple(area, multiple):
    sizes = bucket_sizes(PrepareSettings(area=area, multiple=multiple))
    assert len(set(sizes)) == len(sizes)
    for height, width in sizes:
        assert height % multiple == width % multiple == 0 and 0 < height * width <= area
    assert {(w, h) for h, w in sizes} == set(sizes)  # portrait is as good as landscape


def test_a_video_goes_to_the_nearest_shape_and_the_longest_length():
    settings = PrepareSettings()
    assert choose_size(1080, 1920, settings) == (480, 832)
    assert choose_size(1920, 1080, settings) == (832, 480)
    assert choose_size(500, 510, settings)[0] == choose_size(500, 510, settings)[1]
    assert choose_size(9, 16, PrepareSettings(sizes=((128, 128),))) == (128, 128)
    assert [choose_length(n, settings) for n in (48, 49, 96, 97, 500)] == [None, 49, 81, 97, 97]
    with pytest.raises(ValueError, match=r"max_frames must be 4k\+1"):
        PrepareSettings(max_frames=96)


# Videos


def test_frames_are_resampled_by_time_and_covered(tmp_path):
    levels = np.linspace(20, 230, 40).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (40, 64, 128, 3))
    file = write_video(tmp_path / "fast.mp4", frames, fps=50)
    info = probe(file)
    assert (info.height, info.width, info.fps, info.has_sound) == (64, 128, 50.0, False)
    assert info.seconds == pytest.approx(0.8, abs=0.03)
    read = read_frames(file, 64, 64, 100)
    assert read.shape == (20, 64, 64, 3)
    told = read.mean((1, 2, 3))
    nearest = np.abs(told[:, None] - levels[None].astype(float)).argmin(1)
    assert np.abs(nearest - 2 * np.arange(20)).max() <= 1
    assert len(read_frames(file, 64, 64, 9)) == 9


def test_the_middle_is_kept_and_not_distorted(tmp_path):
    frames = np.zeros((5, 64, 128, 3), np.uint8)
    frames[:, :, 32:96] = 255
    read = read_frames(write_video(tmp_path / "wide.mp4", frames), 32, 32, 5)
    assert read.mean() > 240  # the white square fills the square bucket


def test_sound_and_picture_stay_together(tmp_path):
    frames = np.zeros((25, 32, 32, 3), np.uint8)
    frames[10] = 255
    click = np.zeros(48_000, np.float32)
    click[19_200:19_300] = 0.9
    file = write_video(tmp_path / "flash.mp4", frames, audio=(click, 48_000))
    assert read_frames(file, 32, 32, 25).mean((1, 2, 3)).argmax() == 10
    waveform = read_waveform(file, 1.0)
    assert abs(int(np.abs(waveform).argmax()) - 6_400) < 160
    assert 15_000 < len(waveform) <= 16_000


@pytest.mark.parametrize("sides", [[1, -1], [0, 0, 1, 0, 0, 0]], ids=["inverted", "middle of six"])
def test_a_voice_that_a_mix_would_lose_is_heard(tmp_path, sides):
    samples, rate = tiny.voice(0.9, 48_000)
    noise = 0.1 * np.random.default_rng(0).standard_normal((len(samples), 1))
    spread = samples[:, None] * np.array(sides) + noise * (np.array(sides) == 0)
    file = write_video(tmp_path / "a.mp4", np.zeros((25, 32, 32, 3), np.uint8), audio=(spread, rate))
    heard, true = read_waveform(file, 0.8), tiny.voice(0.9)[0][:12_800]
    assert heard.shape == (12_800,)
    assert heard.std() == pytest.approx(true.std(), rel=0.05) and np.corrcoef(heard, true)[0, 1] > 0.95


@pytest.mark.parametrize("fps", [0.0, 5.0, 12.0, 1000.0])
def test_frame_rates_that_cannot_become_25_are_dropped(fps):
    from humo.finetuning.dataset.clips.video import VideoInfo

    with pytest.raises(Drop) as dropped:
        check_rate(VideoInfo(64, 64, fps, 1.0, False), 20.0)
    assert dropped.value.reason == "frame rate"
    check_rate(VideoInfo(64, 64, 23.976, 1.0, False), 20.0)


# Faces


def test_a_mask_on_the_latent_grid():
    mask = np.zeros((5, 32, 32), bool)
    mask[0, :16, :16] = True  # fills a cell of latent frame 0
    mask[1:3, :, 16:] = True  # half of the frames of latent frame 1: two cells
    grid = mask_on_grid(mask, 16)
    assert grid.tolist() == [[[True, False], [False, False]], [[False, True], [False, True]]]
    small = np.zeros((1, 32, 32), bool)
    small[0, 20:23, 4:6] = True
    assert mask_on_grid(small, 16).tolist() == [[[False, False], [True, False]]]
    assert not mask_on_grid(np.zeros((1, 32, 32), bool), 16).any()


def test_the_face_that_covers_most_is_followed():
    large, other = np.array([10, 10, 40, 40]), np.array([80, 10, 20, 20])
    looks = [np.array([other, large]), np.array([large + 2]), np.zeros((0, 4)), np.array([other, large + 4])]
    track = main_track(looks)
    assert list(track) == [0, 1, 3] and track[3].tolist() == (large + 4).tolist()
    assert main_track([np.zeros((0, 4))]) == {}


def test_opencvs_detector_finds_a_photographed_face():
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as opened:
        photo = np.asarray(opened.convert("RGB").resize((256, 300)))
    frames = np.stack([np.roll(photo, 2 * step, axis=1) for step in range(9)])
    mask = DetectedFaces(opencv_detector(None))(frames, None)
    assert mask.any((1, 2)).all()
    rows, columns = np.nonzero(mask[0])
    assert abs(rows.mean() - 108) < 15 and abs(columns.mean() - 133) < 15  # between nose and upper lip
    assert np.nonzero(mask[8])[1].mean() - columns.mean() == pytest.approx(16, abs=4)
    assert not DetectedFaces(opencv_detector(None))(NOISE, None).any()
    with pytest.raises(ValueError, match="face_weights names none.onnx"):
        opencv_detector("none.onnx")


# Filters


def test_quality_measures_tell_good_from_bad(source):
    frames = source[1][0].frames
    blurred = np.stack([np.asarray(Image.fromarray(f).filter(ImageFilter.GaussianBlur(3))) for f in frames])
    assert sharpness(blurred) < SETTINGS.min_sharpness < sharpness(frames)
    assert motion(frames[:1].repeat(9, 0)) == 0 < SETTINGS.min_motion < motion(frames)
    assert brightness(np.full((3, 8, 8, 3), 255, np.uint8)) == pytest.approx(1, abs=1e-5)


# Hostile rows


def test_a_good_row_is_kept(source):
    folder, clips = source
    result = examine(row("clip-00001.mp4", "she talks"), folder, SETTINGS)
    assert (result.reason, result.detail, result.key) == ("", "", "clip-00001")
    assert result.frames.shape == (17, 64, 64, 3) and result.waveform.shape == (17 * 640,)
    assert result.face.shape == (5, 4, 4) and result.face.any((1, 2)).all()
    assert np.abs(result.frames.astype(float) - clips[1].frames[:17]).mean() < 6  # H.264 at 64x64 blurs colours
    assert np.corrcoef(result.waveform, clips[1].waveform[: 17 * 640])[0, 1] > 0.95
    np.testing.assert_array_equal(result.references[0], clips[1].reference)
    assert set(result.scores) == {"brightness", "sharpness", "motion", "mouth_loudness"}


def _video(folder, name, frames=NOISE, fps=25, audio=VOICE):
    write_video(folder / "video" / name, frames, fps=fps, audio=audio)


def _no_frames(folder):
    from imageio_ffmpeg import get_ffmpeg_exe

    source, out = folder / "video" / "clip-00000.mp4", folder / "video" / "bad.mp4"
    command = [get_ffmpeg_exe(), "-v", "error", "-i", source, "-c", "copy", "-frames:v", "0", "-t", "0", out]
    subprocess.run(command, check=True)


def _truncated(folder):
    data = (folder / "video" / "clip-00000.mp4").read_bytes()
    (folder / "video" / "bad.mp4").write_bytes(data[: 3 * len(data) // 5])


def _garbled(folder):
    data = bytearray((folder / "video" / "clip-00000.mp4").read_bytes())
    data[len(data) // 2 :] = os.urandom(len(data) - len(data) // 2)
    (folder / "video" / "bad.mp4").write_bytes(bytes(data))


# fmt: off
BROKEN_VIDEOS = {
    "video missing": lambda folder: None,
    "empty file": lambda folder: (folder / "video" / "bad.mp4").touch(),
    "zero-length video": _no_frames,
    "corrupt video": _truncated,
    "corrupt video, garbled": _garbled,
    "corrupt video, a picture": lambda folder: shutil.copy(folder / "reference_image" / "clip-00000.png",
                                                           folder / "video" / "bad.mp4"),
    "frame rate": lambda folder: _video(folder, "bad.mp4", fps=8),
    "too short": lambda folder: _video(folder, "bad.mp4", NOISE[:6]),
    "resolution": lambda folder: _video(folder, "bad.mp4", NOISE[:, :32, :32]),
    "too dark": lambda folder: _video(folder, "bad.mp4", NOISE // 30),
    "too bright": lambda folder: _video(folder, "bad.mp4", 255 - NOISE // 30),
    "static": lambda folder: _video(folder, "bad.mp4", NOISE[:1].repeat(20, 0)),
    "no sound": lambda folder: _video(folder, "bad.mp4", audio=None),
    "silent": lambda folder: _video(folder, "bad.mp4", audio=(np.zeros(16_000, np.float32), SAMPLE_RATE)),
    "sound too short": lambda folder: _video(folder, "bad.mp4", audio=tiny.voice(0.3)),
}
# fmt: on


@pytest.mark.parametrize("case", BROKEN_VIDEOS)
def test_broken_videos_are_dropped_with_their_reason(source, tmp_path, case):
    folder = tmp_path / "set"
    shutil.copytree(source[0], folder)
    for name in ("reference_image/{}.png", "face_mask/{}.mp4"):
        shutil.copy(folder / name.format("clip-00000"), folder / name.format("bad"))
    BROKEN_VIDEOS[case](folder)
    result = examine(row("bad.mp4"), folder, SETTINGS)
    assert result.reason == case.split(",")[0], result.detail
    assert result.frames is None and str(tmp_path) not in result.detail


def test_broken_companions_are_dropped_with_their_reason(source, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(source[0], folder)
    reasons = [examine(r, folder, SETTINGS).reason for r in (row(None), row("a", None), row("a", " "))]
    assert reasons == ["no key", "no caption", "no caption"]
    for key in ("../secret.mp4", "/etc/passwd", "a/../../b", "a\0b", "..\\b"):
        assert examine(row(key), folder, SETTINGS).reason == "unsafe path"
    picture = folder / "reference_image" / "clip-00000.png"
    picture.write_text("not a picture")
    assert examine(row("clip-00000"), folder, SETTINGS).reason == "corrupt reference"
    picture.unlink()
    assert examine(row("clip-00000"), folder, SETTINGS).reason == "reference missing"
    mask = folder / "face_mask" / "clip-00001.mp4"
    write_video(mask, np.zeros((21, 64, 64, 3), np.uint8))
    assert examine(row("clip-00001"), folder, SETTINGS).reason == "no face"
    mask.unlink()
    assert examine(row("clip-00001"), folder, SETTINGS).reason == "mask missing"


def test_a_sound_beside_the_video_comes_first(source, tmp_path):
    import soundfile

    folder = tmp_path / "set"
    shutil.copytree(source[0], folder)
    (folder / "audio").mkdir()
    samples, rate = tiny.voice(0.9, 48_000)
    soundfile.write(folder / "audio" / "clip-00000.wav", samples, rate)
    heard = examine(row("clip-00000"), folder, SETTINGS).waveform
    assert np.corrcoef(heard, tiny.voice(0.9)[0][: 17 * 640])[0, 1] > 0.99
    (folder / "audio" / "clip-00000.wav").write_bytes(b"RIFF1234WAVEjunk")
    assert examine(row("clip-00000"), folder, SETTINGS).reason == "corrupt sound"
