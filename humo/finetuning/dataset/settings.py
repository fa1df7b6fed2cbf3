"""What a preparation may be told; every value that the paper does not publish is marked as ours."""

from __future__ import annotations

from dataclasses import dataclass

from humo.timing import FRAMES_PER_LATENT, check_num_frames


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSettings:
    """Which clips are kept and how large they are."""

    area: int = 480 * 832
    """Pixels of a frame that a bucket may have at most; the paper trains at 480x832."""
    multiple: int = 16
    """Height and width are multiples of this many pixels: the codec's scale times the transformer's patch."""
    spatial_scale: int = 8
    """Pixels a side of one latent."""
    sizes: tuple[tuple[int, int], ...] | None = None
    """The only (height, width) pairs that the model knows; None for buckets from `area`."""
    max_frames: int = 97
    """Longest clip, 4k + 1; the paper trains on 97."""
    min_frames: int = 49
    """Shortest clip, 4k + 1 (ours)."""
    frame_step: int = 16
    """Distance between the lengths of buckets, a multiple of 4 (ours)."""
    max_references: int = 1
    """Reference pictures of a clip that are kept; HuMoSet has one."""
    min_fps: float = 20.0
    """Slower videos are dropped: resampled to 25 they would stand still in every other frame (ours)."""
    max_enlarging: float = 1.25
    """Smaller videos would be enlarged by more than this factor a side and are dropped (ours)."""
    min_brightness: float = 0.06
    """Mean luma of the darkest clip, 0 to 1 (ours)."""
    max_brightness: float = 0.96
    """Mean luma of the brightest clip, 0 to 1 (ours)."""
    min_sharpness: float = 10.0
    """Smallest variance of the Laplacian of luma in 0..255: blurred clips are below (ours)."""
    min_motion: float = 1.0
    """Smallest change between frames of the liveliest cell of 16x16 pixels, of 255: stills are below (ours)."""
    need_face: bool = True
    """Drop clips without a face; else their mask is empty."""
    need_sound: bool = True
    """Drop silent clips; else their audio features are zero."""
    min_face_share: float = 0.8
    """Share of the latent frames that show the face (ours)."""
    min_sync: float | None = None
    """Smallest sync score; None measures and keeps all (ours)."""
    face_weights: str | None = None
    """File of YuNet's weights; None for the cascade that OpenCV carries."""
    sync_weights: str | None = None
    """File of SyncNet's weights, whose Sync-C `min_sync` then means; None for the correlation of mouth and loudness."""
    rows_per_unit: int = 64
    """Rows of the table that make one shard (ours)."""
    dtype: str = "float16"
    """Of the stored tensors: "float16" or "float32"."""

    def __post_init__(self) -> None:
        """Refuses what cannot work."""
        for name in ("max_frames", "min_frames"):
            check_num_frames(getattr(self, name), name)
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames is {self.min_frames} but max_frames only {self.max_frames}: lower it.")
        if self.frame_step < FRAMES_PER_LATENT or self.frame_step % FRAMES_PER_LATENT:
            raise ValueError(f"frame_step must be a multiple of {FRAMES_PER_LATENT} but is {self.frame_step}.")
        if self.area < self.multiple**2:
            raise ValueError(f"area is {self.area} pixels but one frame needs {self.multiple**2} or more: raise it.")
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"dtype is {self.dtype!r}: use float16 or float32.")
        if self.rows_per_unit < 1 or self.max_references < 1:
            raise ValueError("rows_per_unit and max_references must be 1 or more.")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Video frames of the buckets, longest first."""
        return tuple(range(self.max_frames, self.min_frames - 1, -self.frame_step))
