"""Probes: a small network that reads a frame of the world, and one that reads the motion of a clip.

They are the eyes of the evaluation. The frame network finds out whether there is a face, reads every attribute that
shows in one frame, the mouth's openness and width, and where head, features and torso are; the motion network reads
these places over time. All of this is ours; the paper judges with published models that know nothing of drawn people.

Legend: n frames, f frames of a clip, k options of an attribute, s side of the frames in pixels.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from humo.system.digests import digest_data
from humo.system.files import write_json
from humo.world.attributes import OPTIONS as OPTIONS

FRAME_ATTRIBUTES = tuple(name for name in OPTIONS if name != "motion")
PLACES = ("head x", "head y", "features x", "features y", "torso x", "head radius")
"""Places that the frame network reads, as fractions of the picture's side."""
SIDE = 64
"""Side of the frames that the network sees, pixels; others are resized by area."""
MOTION_STRIDE = 2
"""The motion network reads every second frame: its motions take about a second."""
FEATURES = 128
"""Channels of the penultimate layer."""
_LOOKS = (0, 2, 5)
"""Layers of the frame network whose means tell how the picture looks."""
_WORLD_FILES = ("people", "drawing", "shapes", "clips")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """How probes are trained; all ours."""

    steps: int = 1500
    """Training steps of the frame network."""
    batch_size: int = 128
    """Frames a step."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW."""
    num_plans: int = 12_000
    """Clips drawn for the frame network, three frames of each."""
    size: int = 128
    """Side of the drawn frames, pixels; they are shrunk to 64."""
    codec_share: float = 0.5
    """Share of the clips that pass through the video codec, where one is given."""
    codec_noise: float = 0.3
    """Largest standard deviation of the noise on their normalised latents."""
    num_motion_clips: int = 1500
    """Clips drawn for the motion network."""
    motion_steps: int = 600
    """Training steps of the motion network."""
    num_test: int = 1024
    """Held-out clips on which the probes' own accuracy is measured; a quarter of them for motion."""


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """What the probes see in a clip.

    Attributes:
        face: probability of a face in each frame, (f,).
        openness, width: of the mouth, about 0..1, (f,).
        shares: mean probability of each option over the clip, by attribute, (k,).
        features: of the frame network, averaged over the clip, (352,).
        grain: by how many of 255 levels a pixel usually differs from the mean of its neighbours, see `measure_grain`.
    """

    face: np.ndarray
    openness: np.ndarray
    width: np.ndarray
    shares: dict[str, np.ndarray]
    features: np.ndarray
    grain: float

    def label(self, attribute: str) -> str:
        """The option that the clip's frames agree on best."""
        return OPTIONS[attribute][int(self.shares[attribute].argmax())]


def stack_features(readings: Sequence[ProbeOutput]) -> np.ndarray:
    """Features of clips for a Frechet distance, (clips, 352) float64."""
    return np.stack([reading.features for reading in readings]).astype(np.float64)


class FrameProbe(nn.Module):
    """Reads single frames."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(3, 32, stride=2),  # 32 x 32
            _convolution(32, 64, stride=2),  # 16 x 16
            _Residual(64),
            _convolution(64, 128, stride=2),  # 8 x 8
            _Residual(128),
            _Residual(128),
            _convolution(128, 128, stride=2),  # 4 x 4
            nn.Flatten(),
            nn.Linear(16 * 128, FEATURES),
            nn.BatchNorm1d(FEATURES),
            nn.SiLU(),
        )
        self.attributes = nn.ModuleDict({name: nn.Linear(FEATURES, len(OPTIONS[name])) for name in FRAME_ATTRIBUTES})
        self.face = nn.Linear(FEATURES, 1)
        self.mouth = nn.Linear(FEATURES, 2)
        self.places = nn.Linear(FEATURES, len(PLACES))

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Reads frames.

        Args:
            frames: (n, 3, 64, 64) in -1..1.

        Returns:
            Logits by attribute (n, k); "face" logits (n,); "mouth" openness and width (n, 2); "places" (n, 6);
            "features" (n, 352): the penultimate layer, and means over space of three earlier ones, for the last
            sees who is there and overlooks grain; all float32.
        """
        hidden, looks = frames.contiguous(memory_format=torch.channels_last), []
        for index, layer in enumerate(self.body):
            hidden = layer(hidden)
            if index in _LOOKS:
                looks.append(hidden.mean((2, 3)).float())
        features = hidden.float()
        read = {name: head(features) for name, head in self.attributes.items()}
        read["face"] = self.face(features)[:, 0]
        read["mouth"], read["places"] = self.mouth(features), self.places(features)
        return read | {"features": torch.cat([*looks, features], dim=1)}


class MotionProbe(nn.Module):
    """Reads the motion from the places of one clip's frames."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(len(PLACES) - 1, 32, 5, padding=2), nn.SiLU(), nn.Conv1d(32, 32, 5, padding=2), nn.SiLU()
        )
        self.head = nn.Linear(64, len(OPTIONS["motion"]))

    def forward(self, places: Tensor) -> Tensor:
        """Places (n, t, 6) of every second frame -> logits (n, 4)."""
        radius = places[..., -1:].mean(1, keepdim=True).clamp_min(0.02)
        moves = (places - places.mean(1, keepdim=True))[..., :-1] / radius
        hidden = self.body(10 * moves.transpose(1, 2))
        return self.head(torch.cat([hidden.mean(2), hidden.amax(2)], dim=1))


class Probes(nn.Module):
    """Both networks and how well they read held-out renders.

    Attributes:
        accuracy: by attribute and figure, as `humo.evaluation.probes.training.measure_probes` returns it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frame, self.motion = FrameProbe(), MotionProbe()
        self.accuracy: dict[str, Any] = {}

    @torch.no_grad()
    def read(self, frames: np.ndarray, batch_size: int = 128) -> ProbeOutput:
        """Reads a clip.

        Args:
            frames: (f, h, w, 3) uint8.
            batch_size: frames a pass.
        """
        parts = [self.frame(part) for part in shrink(frames).split(batch_size)]
        read = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        shares = {name: read[name].softmax(-1).mean(0).numpy() for name in FRAME_ATTRIBUTES}
        shares["motion"] = self.motion(read["places"][None, ::MOTION_STRIDE])[0].softmax(-1).numpy()
        openness, width = read["mouth"].numpy().T
        features = read["features"].mean(0).numpy()
        return ProbeOutput(read["face"].sigmoid().numpy(), openness, width, shares, features, measure_grain(frames))

    def save(self, folder: Path, settings: ProbeSettings) -> None:
        """Writes probes.safetensors, in half of the bytes where that loses nothing, and probes.json."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: _smallest(value).contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, folder / "probes.safetensors")
        record = {"accuracy": self.accuracy, "settings": asdict(settings), "world": world_version()}
        write_json(folder / "probes.json", record)

    def round_weights(self) -> None:
        """Round the weights of layers to 16 bits, of which eleven are for what matters; scales and means stay."""
        for weight in self.parameters():
            if weight.ndim > 1:
                weight.data = weight.data.half().float()

    @classmethod
    def load(cls, folder: Path) -> Probes:
        """Reads what `save` wrote.

        Raises:
            ValueError: if there is nothing to read, or the probes learned from another world.
        """
        if not (folder / "probes.safetensors").is_file():
            raise ValueError(
                f"{folder.name} has no probes.safetensors: leave it out, or train probes by "
                f"`python -m humo.evaluation.probes --out {folder.name}`."
            )
        record = json.loads((folder / "probes.json").read_text())
        if record["world"] != world_version():
            raise ValueError(
                f"The probes in {folder.name} learned from another version of the world: train new ones by "
                "`python -m humo.evaluation.probes`."
            )
        probes = cls()
        probes.load_state_dict(load_file(folder / "probes.safetensors"))
        probes.accuracy = record["accuracy"]
        return probes.eval().requires_grad_(False)


def _smallest(value: Tensor) -> Tensor:
    half = value.half()
    return half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value


def shrink(frames: np.ndarray, side: int = SIDE) -> Tensor:
    """Frames (n, h, w, 3) uint8 to (n, 3, side, side) float32 in -1..1, by area."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 127.5 - 1
    return pixels if pixels.shape[-2:] == (side, side) else F.interpolate(pixels, (side, side), mode="area")


def measure_grain(frames: np.ndarray) -> float:
    """Grain of a clip: the median over pixels of the distance to the mean of the eight neighbours.

    The world is flat colours, so its renders have next to none; edges are few and do not move a median. No network
    takes part, for the probes learned to overlook grain.

    Args:
        frames: (f, h, w, 3) uint8; every fourth one is looked at.

    Returns:
        Levels of 255.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(frames[::4].transpose(0, 3, 1, 2))).float()
    around = (9 * F.avg_pool2d(pixels, 3, stride=1) - pixels[..., 1:-1, 1:-1]) / 8
    return float((pixels[..., 1:-1, 1:-1] - around).abs().median())


def probe_key(settings: ProbeSettings, codec: str = "none") -> str:
    """Ten letters that change whenever other probes are needed.

    Args:
        settings: of the training.
        codec: fingerprint of the video codec through which training frames pass.
    """
    return digest_data([asdict(settings), OPTIONS, world_version(), codec])[:10]


def world_version() -> str:
    """Hash of the code that draws the world, whatever its comments and layout, the same in every Python."""
    sources = [resources.files("humo.world").joinpath(f"{name}.py").read_text("utf-8") for name in _WORLD_FILES]
    return hash_code(sources)


def hash_code(sources: Sequence[str]) -> str:
    """Ten letters from what Python code does, without comments, layout and docstrings.

    Fields of the syntax tree that are empty do not count, for newer Pythons add some.
    """
    return hashlib.sha256(repr([_structure(ast.parse(source)) for source in sources]).encode()).hexdigest()[:10]


def _structure(node: Any) -> Any:
    if isinstance(node, list):
        return [_structure(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "docstring"
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return [type(node).__name__, *([name, _structure(value)] for name, value in fields)]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.second(self.first(x)))


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.SiLU(),
    )
