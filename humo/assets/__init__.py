"""Where the files are that come with the project: the model, examples, the gallery, networks. May import no other room.

In a checkout they lie in `assets`, beside the package. A wheel has them in here, so that an install is one folder and
there is no second copy in the tree (`pyproject.toml`). Ours.
"""

from __future__ import annotations

from pathlib import Path


def find_assets(room: Path) -> Path:
    """The folder of the bundled files.

    Args:
        room: this folder of the package.
    """
    return room if (room / "humo-mini").is_dir() else room.parents[1] / "assets"


FOLDER = find_assets(Path(__file__).resolve().parent)
MINI = FOLDER / "humo-mini"
"""The bundled model."""
PROBES = FOLDER / "probes"
"""Trained probes, the eyes of the evaluation."""
EXAMPLES = FOLDER / "examples"
"""Example pictures and voices, and the gallery of generations."""
