"""A video kept beside its mp4, to the bit, so that a later one can go on from it. Ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humo.requests.output import Earlier, HuMoPipelineOutput


def keep(output: HuMoPipelineOutput, path: Path) -> Path:
    """Write what another video needs to go on from this one: all frames and sound so far, and the last latents.

    Args:
        output: that it goes on from something itself changes nothing: it is kept whole.
        path: the file to write.

    Returns:
        The path.
    """
    whole = output.whole()
    parts = {"frames": whole.frames}
    if whole.audio is not None:
        parts |= {"audio": whole.audio[0], "rate": np.array(whole.audio[1])}
    if whole.latents is not None:
        parts["latents"] = whole.latents
    with path.open("wb") as file:  # by its name numpy would add an ending
        np.savez(file, **parts)  # type: ignore[arg-type]  # numpy's own stub mistakes them for allow_pickle
    return path


def read_kept(path: Path) -> Earlier:
    """Read what `keep` wrote.

    Raises:
        ValueError: if it is gone: the oldest files of a page make room for new ones.
    """
    if not path.is_file():
        raise ValueError("The video to go on from is not kept any more: make it once more.")
    with np.load(path, allow_pickle=False) as file:
        audio = (file["audio"], int(file["rate"])) if "audio" in file else None
        return Earlier(file["frames"], audio, file.get("latents"))
