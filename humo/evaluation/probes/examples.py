"""Frames on which the probes learn: drawn people with their labels, spoiled as generated frames may be, and no faces.

Legend: n frames, s side of the drawn frames in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from humo.evaluation.probes.networks import FRAME_ATTRIBUTES, OPTIONS, SIDE, ProbeSettings, shrink
from humo.references import decode_latents, encode_video
from humo.world.clips import ClipPlan, draw_clip, move, plan_clip
from humo.world.drawing import Pose, draw_background, draw_distractor
from humo.world.people import COLOURS, SKINS
from humo.world.shapes import Scene

CURVE_FRAMES = 49
FRAMES_PER_PLAN = 3
CODEC_FRAMES = 5
IGNORED = -1
"""Label of an attribute that does not show."""


@dataclass(slots=True)
class Examples:
    """Labelled frames.

    Attributes:
        frames: (n, 3, 64, 64) uint8.
        labels: option of each attribute, (n,) int64, -1 where it does not show.
        face: 1 where there is a face, (n,).
        mouth: openness and width, (n, 2); NaN without a face.
        places: see `humo.evaluation.probes.networks.PLACES`, (n, 6); NaN without a face.
    """

    frames: Tensor
    labels: dict[str, Tensor]
    face: Tensor
    mouth: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, index: Tensor) -> Examples:
        """The examples at the given positions."""
        labels = {name: label[index] for name, label in self.labels.items()}
        return Examples(self.frames[index], labels, self.face[index], self.mouth[index], self.places[index])


def label_of(plan: ClipPlan, attribute: str) -> str | None:
    """What an attribute is in a plan; None for the hair colour of a bald person."""
    if attribute == "hair_colour" and plan.person.hair_style == "bald":
        return None
    holder = plan.person if hasattr(plan.person, attribute) else plan.setting
    return getattr(holder, attribute)


def without_second(plan: ClipPlan) -> ClipPlan:
    """The plan without a second person: probes read one speaker."""
    return replace(plan, distractor="none") if plan.distractor == "second" else plan


def draw_examples(seeds: range, split: str, settings: ProbeSettings, codec: Any = None, show: Any = None) -> Examples:
    """Draws people with free mouths: any openness with any width, so that the mouth is read and not guessed.

    Args:
        seeds: one plan each.
        split: of the world.
        settings: size, and how many pass through the codec with how much noise.
        codec: video codec with AutoencoderKLWan's interface, or None.
        show: called with the number of clips drawn since the last call.
    """
    rng = np.random.default_rng((11, seeds.start, len(seeds)))
    parts: list[Examples] = []
    for start in range(seeds.start, seeds.stop, 16):
        chunk = range(start, min(start + 16, seeds.stop))
        use_codec = codec is not None and rng.random() < settings.codec_share
        drawn = [_draw_plan(plan_clip(seed, split), rng, settings.size, use_codec) for seed in chunk]
        videos = np.stack([frames for frames, _ in drawn])
        if use_codec:
            videos = _through_codec(videos, codec, rng, settings.codec_noise)[:, ::2]
        frames = to_bytes(shrink(videos.reshape(-1, *videos.shape[2:])))
        parts.append(join([examples for _, examples in drawn], frames))
        if show is not None:
            show(len(chunk))
    return join(parts)


def draw_track(plan: ClipPlan, rng: np.random.Generator, num_frames: int, stride: int) -> np.ndarray:
    """Draws every `stride`-th frame of a clip at the probes' own size, (t, 64, 64, 3) uint8."""
    pose = move(rng, plan.setting.motion, *_draw_mouth(rng, num_frames))
    return draw_clip(plan, _pick(pose, np.arange(0, num_frames, stride)), SIDE, rng)[0]


def draw_empty(count: int, rng: np.random.Generator, size: int = SIDE) -> Tensor:
    """Backgrounds without a person, some with the balloon, (n, 3, 64, 64) uint8."""
    pictures = []
    for _ in range(count):
        plan = plan_clip(int(rng.integers(2**31)))
        picture = draw_background(plan.setting, rng.random()).paint(np.zeros((1, size, size, 3), np.float32))
        if rng.random() < 0.4:
            scene, colour = Scene(1), list(COLOURS.values())[rng.integers(len(COLOURS))]
            draw_distractor(scene, colour, rng.uniform(0.1, 0.9, 1), rng.uniform(0.15, 0.5, 1), 0.09)
            scene.paint(picture)
        pictures.append(np.clip(np.rint(picture[0]), 0, 255).astype(np.uint8))
    return to_bytes(shrink(np.stack(pictures)))


def corrupt_faces(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Turns frames (n, 3, 64, 64) into ones without a face: noise, a strong blur, shuffled blocks, a mix of these."""
    kinds = torch.randint(0, 4, (len(frames),), generator=generator)
    spoiled = frames.clone()
    coarse = int(torch.randint(3, 6, (1,), generator=generator))
    spoiled[kinds == 0] = F.interpolate(
        F.interpolate(frames[kinds == 0], (coarse, coarse), mode="area"), (SIDE, SIDE), mode="bilinear"
    )
    spoiled[kinds == 1] = _shuffle_blocks(frames[kinds == 1], int(2 ** torch.randint(2, 5, (1,), generator=generator)))
    for kind in (2, 3):
        shape = (int((kinds == kind).sum()), 3, coarse * 3, coarse * 3) if kind == 2 else frames[kinds == 3].shape
        noise = torch.randn(shape, generator=generator)
        blend = torch.rand((shape[0], 1, 1, 1), generator=generator) * 0.25
        noise = F.interpolate(0.6 * noise, (SIDE, SIDE), mode="bilinear")
        spoiled[kinds == kind] = (noise + blend * frames[kinds == kind]).clamp(-1, 1)
    return spoiled


def degrade(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Spoils frames (n, 3, 64, 64) in -1..1 a little, as codecs and networks do: blur, noise, coarse blocks, tint."""
    worn = frames.clone()
    for spoil, share in ((_blur, 0.35), (_quantise, 0.35), (_grain, 0.35), (_blocks, 0.25), (_tint, 0.5)):
        some = torch.nonzero(torch.rand(len(frames), generator=generator) < share)[:, 0]
        if len(some):
            amount = torch.rand((len(some), 1, 1, 1), generator=generator)
            worn[some] = spoil(worn[some], amount, generator)
    return worn.clamp(-1, 1)


def join(parts: list[Examples], frames: Tensor | None = None) -> Examples:
    """Examples one after another, with other frames if given."""
    return Examples(
        torch.cat([part.frames for part in parts]) if frames is None else frames,
        {name: torch.cat([part.labels[name] for part in parts]) for name in FRAME_ATTRIBUTES},
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("face", "mouth", "places")),
    )


def to_bytes(frames: Tensor) -> Tensor:
    """-1..1 to uint8."""
    return ((frames.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_unit(frames: Tensor) -> Tensor:
    """uint8 to -1..1."""
    return frames.float() / 127.5 - 1


def batches(examples: Examples, empty: Tensor, settings: ProbeSettings) -> Iterator[Examples]:
    """Endless batches: about three quarters worn people, the rest without a face. Frames are float32 in -1..1."""
    generator = torch.Generator().manual_seed(0)
    faceless = settings.batch_size // 5
    bare = settings.batch_size // 20
    while True:
        index = torch.randint(0, len(examples), (settings.batch_size - bare,), generator=generator)
        batch = examples.select(index)
        frames = to_unit(batch.frames)
        frames[:faceless] = corrupt_faces(frames[:faceless], generator)
        _unlabel(batch, slice(0, faceless))
        chosen = torch.randint(0, len(empty), (bare,), generator=generator)
        more = batch.select(torch.zeros(bare, dtype=torch.int64))
        batch = join([batch, more], degrade(torch.cat([frames, to_unit(empty[chosen])]), generator))
        yield batch


def _unlabel(batch: Examples, place: slice) -> None:
    for label in batch.labels.values():
        label[place] = IGNORED
    batch.face[place] = 0
    batch.mouth[place] = math.nan
    batch.places[place] = math.nan


def _draw_plan(plan: ClipPlan, rng: np.random.Generator, size: int, is_moving: bool) -> tuple[np.ndarray, Examples]:
    """Three frames anywhere in a clip; five frames in a row, of which three are labelled, for the codec."""
    plan = without_second(plan)
    pose = move(rng, plan.setting.motion, *_draw_mouth(rng, CURVE_FRAMES))
    if is_moving:
        shown = rng.integers(CURVE_FRAMES - CODEC_FRAMES) + np.arange(CODEC_FRAMES)
    else:
        shown = np.sort(rng.choice(CURVE_FRAMES, FRAMES_PER_PLAN, replace=False))
    pose = _pick(pose, shown)
    frames, face, features = draw_clip(plan, pose, size, rng)
    labelled = slice(None, None, 2) if is_moving else slice(None)
    places = torch.from_numpy(_places(plan, pose, face, features)[labelled])
    labels = {name: _label(plan, name, len(places)) for name in FRAME_ATTRIBUTES}
    mouth = torch.from_numpy(np.stack([pose.openness, pose.width], axis=1)[labelled]).float()
    is_face = torch.ones(len(places))
    if not is_moving and rng.random() < 0.06:  # a head without features is no face
        frames = np.where(face[..., None], np.array(SKINS[plan.person.skin], np.uint8), frames)
        is_face[:] = 0
        labels = {name: torch.full_like(label, IGNORED) for name, label in labels.items()}
        mouth[:], places[:] = math.nan, math.nan
    return frames, Examples(torch.zeros(len(places), 0), labels, is_face, mouth, places)


def _label(plan: ClipPlan, attribute: str, count: int) -> Tensor:
    label = label_of(plan, attribute)
    return torch.full((count,), IGNORED if label is None else OPTIONS[attribute].index(label))


def _places(plan: ClipPlan, pose: Pose, face: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Places from the exact masks, (n, 6) float32 fractions of the side."""
    side = face.shape[1]
    centre = (np.arange(side) + 0.5) / side

    def middle(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total = np.maximum(mask.sum((1, 2)), 1)
        return (mask.sum(1) * centre).sum(1) / total, (mask.sum(2) * centre).sum(1) / total

    (head_x, head_y), (features_x, features_y) = middle(face), middle(features > 0)
    proportions = plan.person.face_width * plan.person.face_height
    radius = np.sqrt(face.mean((1, 2)) / (0.86 * np.pi * proportions))
    torso_x = head_x - 0.06 * radius * pose.turn
    return np.stack([head_x, head_y, features_x, features_y, torso_x, radius], axis=1).astype(np.float32)


def _draw_mouth(rng: np.random.Generator, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Free curves of openness and width: values every two to four frames, a quarter of them closed."""
    knots = np.arange(0, num_frames + 4, int(rng.integers(2, 5)))
    openness, width = rng.random((2, len(knots)))
    openness[rng.random(len(knots)) < 0.25] = 0.0
    frames = np.arange(num_frames)
    return np.interp(frames, knots, openness), np.interp(frames, knots, width)


def _pick(pose: Pose, index: np.ndarray) -> Pose:
    return Pose(*(getattr(pose, field.name)[index] for field in fields(Pose)))


@torch.no_grad()
def _through_codec(videos: np.ndarray, codec: Any, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Videos (n, f, s, s, 3) uint8 encoded, made noisy and decoded."""
    pixels = torch.from_numpy(np.ascontiguousarray(videos.transpose(0, 4, 1, 2, 3))).float() / 127.5 - 1
    latents = encode_video(pixels, codec)
    scale = torch.from_numpy(rng.uniform(0, noise, (len(videos), 1, 1, 1, 1))).float()
    latents = latents + scale * torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    return to_bytes(decode_latents(latents, codec)).permute(0, 2, 3, 4, 1).numpy()


def _blur(frames: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    sigma = 0.4 + 0.6 * float(torch.rand((), generator=generator))
    kernel = torch.exp(-(torch.arange(-2, 3) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(frames, (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, kernel[:, :, None], groups=3), kernel[..., None], groups=3)
    return frames + amount * (blurred - frames)


def _quantise(frames: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    """Rounds the cosine coefficients of blocks of 8x8, high frequencies more coarsely, as JPEG does."""
    index = torch.arange(8)
    basis = torch.cos(torch.pi * (index[None] + 0.5) * index[:, None] / 8) / 2
    basis[0] /= math.sqrt(2)
    blocks = frames.unfold(2, 8, 8).unfold(3, 8, 8)  # n c 8 8 8 8
    steps = (0.02 + 0.12 * amount[..., None, None]) * (1 + index[:, None] + index[None])
    blocks = basis.T @ ((basis @ blocks @ basis.T / steps).round() * steps) @ basis
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(frames.shape)


def _grain(frames: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    return frames + 0.12 * amount * torch.randn(frames.shape, generator=generator)


def _blocks(frames: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    blocks = torch.randn((len(frames), 3, SIDE // 4, SIDE // 4), generator=generator)
    return frames + 0.1 * amount * F.interpolate(blocks, scale_factor=4)


def _tint(frames: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    return frames * (1 + 0.12 * amount * torch.randn((len(frames), 3, 1, 1), generator=generator).clamp(-2, 2))


def _shuffle_blocks(frames: Tensor, side: int) -> Tensor:
    """The blocks of each frame in another order, the same for all."""
    cells = SIDE // side
    blocks = frames.unfold(2, side, side).unfold(3, side, side).flatten(2, 3)
    order = torch.arange(cells * cells).flip(0).roll(cells // 2 + 1)
    blocks = blocks[:, :, order].unflatten(2, (cells, cells))
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(frames.shape)
