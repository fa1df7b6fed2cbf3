"""ID-Cur, ID-Glink and FaceSim-Arc: whether the person of the reference is the person of the video.

The cosine between embeddings of aligned faces, by three networks of the ArcFace family (IResNet-100): CurricularFace,
the one trained on Glint360K, and ArcFace trained on MS1M. The paper names the first two and says no more; the rest
follows OpenS2V-Eval: thirty-two frames, evenly; the largest face of a frame; frames without a face are left out; less
than 0 counts as 0; a video in which no face is found has 0. A reference without a face is not judged.
With several faces among the references each is compared with the face of a frame that is most alike (ours).

Source: OpenS2V-Eval (arXiv 2505.20292), `get_facesim.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.face_network import FaceNetwork, read_published, to_pixels
from humo.evaluation.published.instruments.faces import OPENCV, YUNET, FindFaces, align, find_padded, load_detector
from humo.evaluation.published.instruments.metric import Metric, Video, looks
from humo.evaluation.published.instruments.weights import Weights, WeightsFile
from humo.media import read_picture

FRAMES = 32
"""Frames of a video that are looked at."""
BATCH = 32
"""Faces a pass."""
RESEARCH = "for noncommercial research only"
_MIRROR = "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main"
CURRICULAR = WeightsFile(
    path="glint360k_curricular_face_r101_backbone.bin",
    num_bytes=261_000_000,
    url="https://huggingface.co/Junjie96/UniPortrait/resolve/main/glint360k_curricular_face_r101_backbone.bin",
    sha256="aa54ae6dc9f7ac6e262809f1a81d6108e221952bf836aee4cb677ef19246c6ec",
)
GLINT = WeightsFile(
    path="glint360k_cosface_r100_fp16_0.1.pth",
    num_bytes=261_223_796,
    url=f"{_MIRROR}/glink360k_cosface_r100_fp16_0.1.pth",
    sha256="5f631718e783448b41631e15073bdc622eaeef56509bbad4e5085f23bd32db83",
    licence=RESEARCH,
)
MS1M = WeightsFile(
    path="ms1mv3_arcface_r100_fp16.pth",
    num_bytes=261_000_000,
    url=f"{_MIRROR}/ms1mv3_arcface_r100_fp16.pth",
    sha256="a566a62357f0c55b679d9ff2f022a294486568be0c00665d39029d0e46a8109b",
    licence=RESEARCH,
)


@dataclass(eq=False, slots=True)
class FaceReader:
    """Finds and aligns the faces of videos and references; remembers the last case, which three networks ask for."""

    find: FindFaces
    _last: tuple[Video, BenchCase, list[list[np.ndarray]], list[list[np.ndarray]]] | None = field(default=None)

    def read(self, video: Video, case: BenchCase) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        """Aligned faces (112, 112, 3) of the frames and of the references, of each the largest first."""
        if self._last is None or self._last[0] is not video or self._last[1] is not case:
            frames = [self._faces(video.frames[look]) for look in looks(len(video.frames), FRAMES)]
            references = [self._faces(np.asarray(read_picture(path))) for path in case.references]
            self._last = video, case, frames, references
        return self._last[2:]

    def _faces(self, picture: np.ndarray) -> list[np.ndarray]:
        return [align(picture, face.points) for face in find_padded(self.find, picture)]


@dataclass(eq=False, slots=True)
class _Identity(Metric):
    """One recognition network; see the module."""

    name: ClassVar[str]
    file: ClassVar[WeightsFile]
    needs: ClassVar[tuple[WeightsFile, ...]]
    family: ClassVar[str] = "identity"
    packages: ClassVar[tuple[str, ...]] = (OPENCV,)
    conditions: ClassVar[str] = "I"
    meaning: ClassVar[str] = "cosine to the reference's face, 0 to 1, higher is more alike; detector is our choice"

    reader: FaceReader
    network: FaceNetwork
    device: torch.device

    @classmethod
    def _read(cls, weights: Weights) -> Self:
        reader = weights.once("face reader", lambda: FaceReader(load_detector(weights)))
        details, state_dict = read_published(weights.state_dict(cls.file))
        return cls(reader, weights.fill(FaceNetwork(**details), cls.file, state_dict), weights.device)

    def measure(self, video: Video, case: BenchCase) -> float:
        """0 to 1; NaN if no reference has a face."""
        frames, references = self.reader.read(video, case)
        wanted = [self.embed(faces[:1])[0] for faces in references if faces]
        if not wanted:
            return math.nan
        likeness = [compare(self.embed(faces), torch.stack(wanted)) for faces in frames if faces]
        return float(np.mean(likeness)) if likeness else 0.0

    @torch.no_grad()
    def embed(self, faces: list[np.ndarray]) -> Tensor:
        """Aligned faces to embeddings of length 1, (n, 512)."""
        parts = (to_pixels(faces[start : start + BATCH]) for start in range(0, len(faces), BATCH))
        return torch.cat([self.network(part.to(self.device)).cpu() for part in parts])


def compare(found: Tensor, wanted: Tensor) -> float:
    """Likeness of one frame, 0 to 1.

    Args:
        found: embeddings of its faces, the largest first, (n, c), of length 1.
        wanted: of the references' faces, (m, c); one is compared with the largest, several each with the most alike.
    """
    if len(wanted) == 1:
        found = found[:1]
    return float((wanted @ found.T).amax(1).clamp_min(0).mean())


class IdCur(_Identity):
    """The metric ID-Cur: CurricularFace trained on Glint360K."""

    name, file = "ID-Cur", CURRICULAR
    needs = (CURRICULAR, YUNET)


class IdGlink(_Identity):
    """The metric ID-Glink: IResNet-100 trained on Glint360K."""

    name, file = "ID-Glink", GLINT
    needs = (GLINT, YUNET)


class FaceSimArc(_Identity):
    """The metric FaceSim-Arc: ArcFace trained on MS1MV3.

    OpenS2V takes it from insightface's own package of models, which is another network of the family.
    """

    name, file = "FaceSim-Arc", MS1M
    needs = (MS1M, YUNET)
