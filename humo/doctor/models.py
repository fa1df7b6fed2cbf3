"""Which models are on this computer, how large they are, and whether they are whole. Ours."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from humo.doctor.finding import Finding, fails, note, ok
from humo.doctor.versions import DISTRIBUTION, ROOT


def bundled() -> Iterator[Finding]:
    """The bundled model, file by file, and its fast form."""
    from humo.checkpoints import MINI, check_folder
    from humo.loading.published.sources import gigabytes
    from humo.system.fast_form_config import has_fast, read_config

    check_folder(MINI)
    wrong, num_known = _unlike_published(MINI)
    told = f"{MINI}, {gigabytes(_bytes_of(MINI))}"
    if wrong:
        yield fails("mini", f"{wrong[0]} is not the published file", "fetch the folder again")
    else:
        digests = f", SHA-256 of {num_known} files right" if num_known else ""
        yield ok("mini", f"{told}, whole{digests}")
    if has_fast(MINI):
        config = read_config(MINI)
        yield ok("mini, fast form", f"{config.num_inference_steps} steps of one pass, rank {config.rank}")
    else:
        yield note("mini, fast form", "is not there: no --fast, no quick look and nobody speaks live")


def published() -> Iterator[Finding]:
    """The published models: converted, downloaded, or not here."""
    from humo.loading.memory import default_dtype
    from humo.loading.published.conversion import find_converted
    from humo.loading.published.presets import PRESETS
    from humo.loading.published.sources import find_downloaded, gigabytes

    for name, preset in PRESETS.items():
        if (folder := find_converted(preset, default_dtype())) is not None:
            yield ok(name, f"{folder}, {gigabytes(_bytes_of(folder))}, converted")
        elif find_downloaded(preset) is not None:
            yield note(name, "is downloaded and not converted", f"python -m humo convert --preset {name}")
        else:
            yield note(name, f"is not here; the first use fetches {gigabytes(preset.num_bytes)}")


def served() -> Iterator[Finding]:
    """The folder that HUMO_MODEL names, if it names one."""
    from humo.checkpoints import check_folder
    from humo.loading.published.sources import gigabytes
    from humo.space.jobs.model_choice import LARGE, MINI, wanted_model

    wanted = wanted_model()
    if wanted in (MINI, *LARGE):
        return
    folder = Path(wanted)
    check_folder(folder)
    yield ok("HUMO_MODEL", f"{folder}, {gigabytes(_bytes_of(folder))}, whole")


def _unlike_published(folder: Path) -> tuple[list[str], int]:
    """Weights whose SHA-256 is not that which was published with them, and of how many it is known."""
    from humo.system.digests import digest_file

    known = dict(_of_spacefile() or _of_wheel(folder))
    wrong = [name for name, digest in known.items() if digest_file(folder / name) != digest]
    return wrong, len(known)


def _of_spacefile() -> Mapping[str, str]:
    """SHA-256 by file, of a checkout."""
    from humo.space.deploy.spacefile import NAME, read_spacefile

    return read_spacefile(ROOT).model.files if (ROOT / NAME).is_file() else {}


def _of_wheel(folder: Path) -> Iterator[tuple[str, str]]:
    """SHA-256 by file, of an installed package, as its RECORD has them."""
    for path in metadata.files(DISTRIBUTION) or ():
        file = Path(str(path.locate()))
        if path.hash is not None and path.suffix == ".safetensors" and file.is_relative_to(folder):
            digest = urlsafe_b64decode(f"{path.hash.value}===").hex()
            yield file.relative_to(folder).as_posix(), digest


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
