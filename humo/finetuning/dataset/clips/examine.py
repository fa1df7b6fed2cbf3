"""The part of a preparation that needs no model: a row is read, fitted, checked and measured.

It runs in many processes, which import neither torch nor diffusers. Whatever is wrong with a row ends that row alone.
"""

# f frames, h w pixels, k latent frames, g grid

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from humo.finetuning.dataset.buckets import choose_length, choose_size
from humo.finetuning.dataset.clips.crops import crop_faces
from humo.finetuning.dataset.clips.faces import face_finder, mask_on_grid
from humo.finetuning.dataset.clips.filters import check_quality
from humo.finetuning.dataset.clips.sync import mouth_loudness_correlation
from humo.finetuning.dataset.clips.video import MAX_SIDE, check_rate, probe, read_frames, read_waveform
from humo.finetuning.dataset.dropping import Drop
from humo.finetuning.dataset.rows import MASK, Files, Row, find_files
from humo.finetuning.dataset.settings import PrepareSettings
from humo.media import SILENCE, read_picture
from humo.timing import FPS, SAMPLES_PER_FRAME

SHORTEST_SOUND = 0.9
"""Share of the clip that the sound must last; the rest becomes silence (ours)."""


@dataclass(slots=True)
class Examined:
    """A row that may be encoded, or the reason why not."""

    number: int
    """Of the row."""
    key: str
    """Name of the clip."""
    caption: str = ""
    frames: np.ndarray | None = None
    """(f, h, w, 3) uint8; None if the row is dropped."""
    references: list[np.ndarray] = field(default_factory=list)
    """Pictures as they are, (height, width, 3) uint8."""
    waveform: np.ndarray | None = None
    """Mono at 16 kHz, float32 (640 f,); None for a silent clip."""
    face: np.ndarray | None = None
    """Mask on the latent grid, (k, g, g) bool."""
    face_crops: np.ndarray | None = None
    """For SyncNet (f, 224, 224, 3) uint8; None unless its weights are used and there is sound and a face."""
    scores: dict[str, float] = field(default_factory=dict)
    """Quality and sync."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time of each part."""
    reason: str = ""
    """Why the row is dropped; "" if it is not."""
    detail: str = ""
    """Numbers or names beside the reason."""


def examine(row: Row, folder: Path, settings: PrepareSettings) -> Examined:
    """Read and check one row; see `Examined`.

    Args:
        row: of the table.
        folder: of the data set.
        settings: of the preparation.
    """
    result = Examined(row.number, row.key or "", row.caption or "")
    try:
        _examine(row, folder, settings, result)
    except Drop as drop:
        result.reason, result.detail = drop.reason, drop.detail
    except ImportError:
        raise  # a missing library is no fault of the row
    except Exception as error:  # the last guard: among a million rows somebody's file is stranger than we thought
        result.reason, result.detail = "unexpected", f"{type(error).__name__}: {error}"[:160]
    if result.reason:
        result.frames = result.waveform = result.face = result.face_crops = None
        result.references = []
    return result


def _examine(row: Row, folder: Path, settings: PrepareSettings, result: Examined) -> None:
    clock = _Clock(result.seconds)
    has_masks = (folder / MASK).is_dir()
    files = find_files(folder, row, settings.max_references, with_mask=has_masks)
    result.key = files.key
    frames, has_sound = _read_video(files, settings)
    result.references = [_read_reference(file) for file in files.references]
    sound = files.sound or (files.video if has_sound else None)
    result.frames, result.waveform = frames, _read_sound(sound, len(frames), settings.need_sound)
    clock("read")
    result.scores = check_quality(frames, settings)
    clock("quality")
    mask = face_finder(has_masks, settings.face_weights)(frames, files)
    result.face = mask_on_grid(mask, settings.spatial_scale)
    share = float(result.face.any((1, 2)).mean())
    if settings.need_face and share < settings.min_face_share:
        raise Drop("no face", f"in {share:.0%} of the latent frames")
    clock("face")
    if result.waveform is not None:
        _check_sync(frames, mask, settings, result)
    clock("sync")


def _check_sync(frames: np.ndarray, mask: np.ndarray, settings: PrepareSettings, result: Examined) -> None:
    """Score without weights; with weights, cut out what SyncNet will see."""
    score = result.scores["mouth_loudness"] = mouth_loudness_correlation(frames, mask, result.waveform)
    if settings.sync_weights is not None:
        result.face_crops = crop_faces(frames, mask) if mask.any() else None
    elif settings.min_sync is not None and score < settings.min_sync:
        raise Drop("out of sync", f"mouth_loudness {score:.2f}")


def _read_video(files: Files, settings: PrepareSettings) -> tuple[np.ndarray, bool]:
    """Frames in their bucket's size and length, and whether the video has a sound."""
    info = probe(files.video)
    if max(info.height, info.width) > MAX_SIDE or min(info.height, info.width) < 1:
        raise Drop("resolution", f"{info.width}x{info.height}")
    check_rate(info, settings.min_fps)
    height, width = choose_size(info.height, info.width, settings)
    if max(height / info.height, width / info.width) > settings.max_enlarging:
        raise Drop("resolution", f"{info.width}x{info.height} for {width}x{height}")
    frames = read_frames(files.video, height, width, settings.max_frames)
    length = choose_length(len(frames), settings)
    if length is None:
        raise Drop("too short", f"{len(frames)} frames, at least {settings.min_frames} are needed")
    return frames[:length], info.has_sound


def _read_reference(file: Path) -> np.ndarray:
    try:
        return np.asarray(read_picture(file))
    except ValueError as error:
        raise Drop("corrupt reference", str(error)[:160]) from None


def _read_sound(file: Path | None, num_frames: int, needed: bool) -> np.ndarray | None:
    """The sound, exactly as long as the frames; None if there is none to hear and none is needed."""
    length = num_frames * SAMPLES_PER_FRAME
    waveform = None if file is None else read_waveform(file, num_frames / FPS)[:length]
    if waveform is None or np.abs(waveform).max() < SILENCE:
        if needed:
            raise Drop("no sound" if waveform is None else "silent")
        return None
    if len(waveform) < SHORTEST_SOUND * length:
        raise Drop("sound too short", f"{len(waveform) / SAMPLES_PER_FRAME:.0f} of {num_frames} frames")
    return np.pad(waveform, (0, length - len(waveform)))


class _Clock:
    """Writes the processor time since the last call under a name, that of ffmpeg included.

    Waiting is not counted: on a busy machine it would say more of the neighbours than of the work.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.last = seconds, sum(os.times()[:4])

    def __call__(self, name: str) -> None:
        now = sum(os.times()[:4])
        self.seconds[name], self.last = now - self.last, now
