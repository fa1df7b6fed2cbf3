"""A small project with a Spacefile like the real one, for what reads and deploys it."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import yaml

from humo.space.deploy.spacefile import NAME, ROOT

WEIGHTS = "assets/humo-mini/transformer/model.safetensors"
DATA: dict[str, Any] = yaml.safe_load((ROOT / NAME).read_text(encoding="utf-8"))
ABSENT = object()
"""In place of a value: the field is left out."""


def write_project(root: Path, changes: dict[str, Any] | None = None) -> Path:
    """A small project with a Spacefile like the real one.

    Args:
        root: folder for it.
        changes: values by the path of their field ("space.title"), ABSENT to leave one out.
    """
    for name, content in {
        "app.py": "page = 1\n",
        "humo/__init__.py": "",
        "humo/training/transformer/loop.py": "",
        "requirements.txt": "gradio==6.31.0\n",
        "LICENSE": "free",
        "README.md": "# A page\n",
        WEIGHTS: "weights",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    data = copy.deepcopy(DATA)
    data["model"]["files"] = {"transformer/model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    for place, value in (changes or {}).items():
        *sections, last = place.split(".")
        section = data
        for each in sections:
            section = section[int(each) if each.isdigit() else each]
        if value is ABSENT:
            del section[last]
        else:
            section[last] = value
    (root / NAME).write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return root
