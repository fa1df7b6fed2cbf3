"""The published models: their files on the Hub, revisions, sizes and parameters.

Source: the repositories on the Hugging Face Hub; revisions and sizes as third parties published them (2026). The 17B
shards' sizes are not known here: they are asked from the Hub, and without it estimated from the number of parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

TRANSFORMER, WAN, WHISPER = "HuMo", "Wan2.1-T2V-1.3B-Diffusers", "whisper-large-v3"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """The files that are wanted of one repository of the Hub."""

    name: str
    """Owner and name."""
    revision: str
    """Commit."""
    folder: str
    """Its folder in the published layout."""
    files: dict[str, int]
    """Path: bytes."""
    patterns: tuple[str, ...] = ()
    """Further files of unknown names: the shards of an index."""
    rest: int = 0
    """Estimated bytes of these."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all its files; an estimate if there is a rest."""
        return sum(self.files.values()) + self.rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A published model."""

    name: str
    """As `humo.load` takes it."""
    transformer: str
    """Path of its weights in the HuMo repository: a .pth or an index."""
    repositories: tuple[Repository, Repository, Repository]
    """HuMo, Wan, Whisper."""
    num_parameters: dict[str, int]
    """Of each part, for the memory that it needs."""
    is_cpu_hopeless: bool = False
    """Whether a video on a CPU would take days."""
    given: frozenset[str] = frozenset()
    """Parts that are not wanted, for they lie in files of their own."""

    @property
    def num_bytes(self) -> int:
        """Bytes of the download."""
        return sum(repository.num_bytes for repository in self.repositories)


_HUMO: dict[str, Any] = dict(
    name="bytedance-research/HuMo",
    revision="3a4a1610d399a5cbb932d54dc229944029803ff7",
    folder=TRANSFORMER,
)
_WAN = Repository(
    name="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    revision="0fad780a534b6463e45facd96134c9f345acfa5b",
    folder=WAN,
    files={
        "text_encoder/config.json": 854,
        "text_encoder/model-00001-of-00005.safetensors": 4_972_389_712,
        "text_encoder/model-00002-of-00005.safetensors": 4_899_225_672,
        "text_encoder/model-00003-of-00005.safetensors": 4_966_309_504,
        "text_encoder/model-00004-of-00005.safetensors": 4_999_880_704,
        "text_encoder/model-00005-of-00005.safetensors": 2_885_866_152,
        "text_encoder/model.safetensors.index.json": 22_476,
        "tokenizer/special_tokens_map.json": 7_079,
        "tokenizer/spiece.model": 4_548_313,
        "tokenizer/tokenizer.json": 16_837_459,
        "tokenizer/tokenizer_config.json": 61_758,
        "vae/config.json": 724,
        "vae/diffusion_pytorch_model.safetensors": 507_591_892,
    },
)
_WHISPER = Repository(
    name="openai/whisper-large-v3",
    revision="06f233fe06e710322aca913c1bc4249a0d71fce1",
    folder=WHISPER,
    files={"config.json": 1_272, "preprocessor_config.json": 340, "model.safetensors": 3_087_130_976},
)
ENCODERS = {"text_encoder": 5_680_910_336, "audio_encoder": 636_968_960, "vae": 126_892_531}
"""Parameters of umT5-xxl's encoder, of Whisper large-v3's, and of Wan2.1's video codec."""
OTHER_TOKENIZER_FILES = ("tokenizer/special_tokens_map.json", "tokenizer/spiece.model")
"""Of no need beside a tokenizer.json."""
_17B_INDEX = "HuMo-17B/humo.safetensors.index.json"
_17B_PARAMETERS = 17_055_925_312

PRESETS = {
    "1.7B": Preset(
        name="1.7B",
        transformer="HuMo-1.7B/ema.pth",
        repositories=(Repository(**_HUMO, files={"HuMo-1.7B/ema.pth": 7_037_053_233}), _WAN, _WHISPER),
        num_parameters={"transformer": 1_741_569_088, **ENCODERS},
    ),
    "17B": Preset(
        name="17B",
        transformer=_17B_INDEX,
        repositories=(
            Repository(
                **_HUMO,
                files={_17B_INDEX: 200_000},
                patterns=("HuMo-17B/humo*.safetensors",),
                rest=2 * _17B_PARAMETERS,
            ),
            _WAN,
            _WHISPER,
        ),
        num_parameters={"transformer": _17B_PARAMETERS, **ENCODERS},
        is_cpu_hopeless=True,
    ),
}
"""The published models."""


def get_preset(name: str) -> Preset:
    """The published model of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no published model {name!r}: give {' or '.join(map(repr, PRESETS))}.")
    return PRESETS[name]


def without_parts(preset: Preset, given: Collection[str]) -> Preset:
    """What of a published model is still needed.

    Args:
        preset: the model.
        given: parts that lie in files of their own: "transformer", "text_encoder", "vae".

    Returns:
        The same model without the files of these.
    """
    if not given:
        return preset
    humo, wan, whisper = preset.repositories
    if "transformer" in given:
        humo = replace(humo, files={}, patterns=(), rest=0)
    kept = {path: size for path, size in wan.files.items() if path.split("/")[0] not in given}
    counts = {part: count for part, count in preset.num_parameters.items() if part not in given}
    transformer = "" if "transformer" in given else preset.transformer
    repositories = (humo, replace(wan, files=kept), whisper)
    return replace(
        preset, transformer=transformer, repositories=repositories, num_parameters=counts, given=frozenset(given)
    )
