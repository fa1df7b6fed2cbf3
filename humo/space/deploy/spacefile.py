"""The Spacefile: everything about the project's Hugging Face Space in one file, read and checked.

The Hub knows no such file, it is ours. `python -m humo deploy` does what it says, and `front_matter` makes from it the
lines with which the README begins and which the Hub does read. Whatever is wrong with it, the first such thing is one
sentence that names the field.

Source: the Hub's documentation of 2026 (Spaces configuration reference, ZeroGPU) for what its fields may hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from huggingface_hub import SpaceHardware

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
"""Of the checkout."""
NAME = "Spacefile"
ZERO_GPU = SpaceHardware.ZERO_A10G.value
"""Under this name the Hub lends a GPU by the call, whichever it is."""
ZERO_GPU_PYTHON = "3.12.12"
"""Of the Pythons that ZeroGPU offers the one that this project runs on."""
COLORS = "red|yellow|green|blue|indigo|purple|pink|gray"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """How the Hub builds the Space and shows it."""

    id: str
    """Its name without the owner's."""
    visibility: str
    """Who may see a new Space: "public", "protected" (the page, not its files) or "private"."""
    title: str
    emoji: str
    colors: tuple[str, ...]
    """Two, of the card's gradient."""
    header: str
    """The Hub's bar above the page: "mini" or "default"."""
    full_width: bool
    """Whether the page may be as wide as the window."""
    embedding: bool
    """Whether other sites may show the page in a frame."""
    sdk: str
    sdk_version: str
    """The same as in requirements.txt."""
    python_version: str
    app_file: str
    short_description: str
    license: str
    tags: tuple[str, ...]
    models: tuple[str, ...]
    """Repositories that the card links to."""
    preload: tuple[str, ...]
    """Repositories whose files are fetched while the Space is built: "owner/name [files by comma [revision]]"."""
    startup_timeout: str
    """How long the app may take to start, as "10m"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """Where the Space runs."""

    request: str
    """The Hub's name of it."""
    sleep_time: str | None
    """After how long without a visitor paid hardware sleeps; None for the Hub's own time."""
    fallback: str | None
    """Asked for where `request` is refused; None for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """A bucket of the owner's that the Space sees as a folder."""

    type: str
    source: str
    """The bucket's name without the owner's."""
    mount_path: str
    optional: bool
    """Whether the Space is of use without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """What outlives a restart."""

    volumes: tuple[Volume, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Env:
    """What the app finds in its environment."""

    variables: dict[str, str]
    """Everybody may read them."""
    secrets: tuple[str, ...]
    """Names only; whoever deploys has the values in an environment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What is uploaded."""

    include: tuple[str, ...]
    """Patterns in which ** stands for any folders and * for anything but a slash; hidden files never match."""
    exclude: tuple[str, ...]
    max_bytes: int
    """Of all files together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The weights that travel with the files."""

    path: str
    files: dict[str, str]
    """Every weights file below `path`: its SHA-256."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """When a deployment has succeeded."""

    run_within: str
    """How long building and starting may take."""
    url: str
    """Path that is asked once the Space runs."""
    timeout: str
    """How long it may take to answer as expected."""
    expect: int
    """HTTP status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spacefile:
    """The whole file."""

    version: int
    space: Space
    hardware: Hardware
    storage: Storage
    env: Env
    files: Files
    model: Model
    checks: Checks


def _is_emoji(text: str) -> bool:
    """One sign, which may be joined of several or have a tone."""
    kinds = [unicodedata.category(character) for character in text]
    signs = kinds.count("So") - text.count("\N{ZERO WIDTH JOINER}")
    is_flag = len(text) == 2 and all("\U0001f1e6" <= character <= "\U0001f1ff" for character in text)
    return kinds[:1] == ["So"] and set(kinds) <= {"So", "Sk", "Mn", "Cf"} and (signs == 1 or is_flag)


_DURATION = (r"[1-9]\d*[smh]", "a number with s, m or h, such as 10m")
_HARDWARE = ("|".join(map(re.escape, (each.value for each in SpaceHardware))), "the Hub's name of a hardware")
_REPOSITORY = r"[\w.-]+/[\w.-]+"
_RULES: dict[str, tuple[str | Callable[[Any], bool], str]] = {
    "version": (lambda value: value == 1, "1"),
    "space.id": (r"[A-Za-z0-9][\w.-]{0,95}", "a name of letters, digits, '-', '_' and '.'"),
    "space.visibility": ("public|protected|private", "public, protected or private"),
    "space.title": (r"\S(.{0,78}\S)?", "1 to 80 characters"),
    "space.emoji": (_is_emoji, "one emoji"),
    "space.colors[]": (COLORS, f"two of {COLORS.replace('|', ', ')}"),
    "space.header": ("mini|default", "mini or default"),
    "space.sdk": ("gradio", "gradio"),
    "space.sdk_version": (r"\d+\.\d+\.\d+", "a version such as 6.31.0"),
    "space.python_version": (r"3\.1[12](\.\d+)?", "3.11 or 3.12, with a patch or without"),
    "space.app_file": (r"[\w.-]+\.py", "a Python file of the top folder"),
    "space.short_description": (r"\S(.{0,58}\S)?", "1 to 60 characters, for the Hub cuts longer ones"),
    "space.license": (r"[a-z0-9][a-z0-9.-]*", "the Hub's name of a licence, such as apache-2.0"),
    "space.tags[]": (r"[a-z0-9][a-z0-9.:-]*", "words in small letters, joined by '-'"),
    "space.models[]": (_REPOSITORY, "names of repositories as owner/name"),
    "space.preload[]": (rf"{_REPOSITORY}( \S+( [\w.-]+)?)?", "lines of the form 'owner/name files revision'"),
    "space.startup_timeout": _DURATION,
    "hardware.request": _HARDWARE,
    "hardware.fallback": _HARDWARE,
    "hardware.sleep_time": _DURATION,
    "files.include[]": (r"(?!.*\.\.)[^/].*", "patterns inside the top folder"),
    "files.exclude[]": (r"(?!.*\.\.)[^/].*", "patterns inside the top folder"),
    "files.max_bytes": (lambda value: value > 0, "a number of bytes"),
    "model.path": (r"(?!.*\.\.)[^/].*", "a folder inside the top folder"),
    "checks.run_within": _DURATION,
    "checks.url": (r"/\S*", "a path that begins with '/'"),
    "checks.timeout": _DURATION,
    "checks.expect": (lambda value: 200 <= value < 600, "an HTTP status, such as 200"),
    "storage.volumes[].type": ("bucket", "bucket"),
    "storage.volumes[].source": (r"[\w.-]+", "the bucket's name without its owner's"),
    "storage.volumes[].mount_path": (r"/[\w./-]+", "a folder that begins with '/'"),
}
"""Pattern or question, and what is allowed in words. [] stands for each entry of a list; None is never asked."""
_CREDENTIAL = re.compile(r"(hf_|sk-|ghp_|xox[a-z]-)\w{8,}|eyJ[\w-]{10,}\.|-----BEGIN")
_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}


def read_spacefile(root: Path = ROOT) -> Spacefile:
    """Read a Spacefile and check each field.

    The files that it names are looked at by `humo.space.deploy.upload`.

    Args:
        root: folder of the Spacefile and its requirements.txt.

    Returns:
        What it says.

    Raises:
        ValueError: in one sentence, naming the first field that is wrong.
    """
    try:
        data = yaml.safe_load((root / NAME).read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"There is no {NAME} in {root.name}: start from the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" in line {line + 1}"
        raise ValueError(f"The {NAME} is no YAML{place}: mend it.") from None
    spacefile = _build(Spacefile, data, "")
    _check_versions(spacefile, root)
    _check_hardware(spacefile)
    _check_storage(spacefile.storage)
    _check_env(spacefile.env)
    _check_model(spacefile.model)
    return spacefile


def seconds(duration: str) -> int:
    """Seconds of a duration such as "90s", "10m" or "1h"."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _build(kind: type[T], data: Any, name: str) -> T:
    """A section with its fields, each of the type that its class says."""
    hints, prefix = get_type_hints(kind), f"{name}." if name else ""
    if not isinstance(data, Mapping):
        raise ValueError(f"The {NAME}'s {name or 'content'} must be a group of fields: {', '.join(hints)}.")
    for field in data:
        if field not in hints:
            raise ValueError(f"The {NAME} has an unknown field {prefix}{field}: use {', '.join(hints)}.")
    for field in hints:
        if field not in data:
            raise ValueError(f"The {NAME} lacks the field {prefix}{field}: add it.")
    return kind(**{field: _convert(hint, data[field], prefix + field) for field, hint in hints.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """A value of the type that a field's class says."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, value, name)
    if value is None and type(None) in get_args(hint):
        return None
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(name, value, "a list")
        inner = get_args(hint)[0]
        return tuple(_convert(inner, entry, f"{name}[{index}]") for index, entry in enumerate(value))
    if get_origin(hint) is dict:
        if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
            raise _wrong(name, value, "names with texts")
        return dict(value)
    plain = str if str in get_args(hint) else hint
    if type(value) is not plain:  # not isinstance: True is no number
        raise _wrong(name, value, _KINDS[plain])
    return _checked(name, value)


def _checked(name: str, value: Any) -> Any:
    """The value, if its rule allows it."""
    rule, words = _RULES.get(re.sub(r"\[\d+\]", "[]", name), (".*", ""))
    is_allowed = rule(value) if callable(rule) else isinstance(value, bool) or re.fullmatch(rule, value)
    if not is_allowed:
        raise _wrong(name, value, words)
    return value


def _wrong(name: str, value: Any, words: str) -> ValueError:
    shown = "of another kind" if name.startswith("env.") else repr(value)  # may be a secret in the wrong place
    return ValueError(f"The {NAME}'s {name} is {shown}: give {words}.")


def _check_versions(spacefile: Spacefile, root: Path) -> None:
    space, hardware = spacefile.space, spacefile.hardware
    if len(space.colors) != 2:
        raise _wrong("space.colors", list(space.colors), _RULES["space.colors[]"][1])
    pins = re.findall(r"^gradio==(\S+)", (root / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if [space.sdk_version] != pins:
        raise _wrong("space.sdk_version", space.sdk_version, f"{' '.join(pins)}, which requirements.txt has")
    if ZERO_GPU in (hardware.request, hardware.fallback) and space.python_version != ZERO_GPU_PYTHON:
        raise _wrong("space.python_version", space.python_version, f"{ZERO_GPU_PYTHON}, which ZeroGPU offers")


def _check_hardware(spacefile: Spacefile) -> None:
    hardware = spacefile.hardware
    if hardware.fallback == hardware.request:
        raise _wrong("hardware.fallback", hardware.fallback, "another one than hardware.request, or null")
    if hardware.sleep_time is not None and hardware.request in (SpaceHardware.CPU_BASIC.value, ZERO_GPU):
        raise _wrong("hardware.sleep_time", hardware.sleep_time, f"null, for {hardware.request} sleeps as the Hub says")


def _check_storage(storage: Storage) -> None:
    places = [volume.mount_path for volume in storage.volumes]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise _wrong(f"storage.volumes[{index}].mount_path", place, "each volume a folder of its own")


def _check_env(env: Env) -> None:
    """Names where names belong, and nothing that looks like a secret; none of the sentences repeats a value."""
    for index, name in enumerate(env.secrets):
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) or _CREDENTIAL.search(name):
            raise ValueError(
                f"The {NAME}'s env.secrets[{index}] is no name in capitals: give the name alone, the value comes from "
                "the environment of whoever deploys."
            )
    for name, value in env.variables.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name):
            raise ValueError(f"The {NAME}'s env.variables has a name that is not in capitals: give such as HUMO_MODEL.")
        if _CREDENTIAL.search(value) or re.search(r"TOKEN|SECRET|PASSWORD|API_KEY", name):
            raise ValueError(f"The {NAME}'s env.variables.{name} looks like a secret: name it in env.secrets instead.")
        if name in env.secrets:
            raise ValueError(f"The {NAME}'s env.variables.{name} is among env.secrets as well: name it once.")


def _check_model(model: Model) -> None:
    for name, digest in model.files.items():
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise _wrong(f"model.files.{name}", digest, "its SHA-256, which `python -m humo deploy --refresh` writes")


def front_matter(spacefile: Spacefile) -> str:
    """The lines between and with the two ---, from which the Hub configures a Space.

    Returns:
        YAML, ending with a line break.
    """
    space, hardware = spacefile.space, spacefile.hardware
    content = {
        "title": space.title,
        "emoji": space.emoji,
        "colorFrom": space.colors[0],
        "colorTo": space.colors[1],
        "sdk": space.sdk,
        "sdk_version": space.sdk_version,
        "python_version": space.python_version,
        "app_file": space.app_file,
        "suggested_hardware": hardware.request,
        "startup_duration_timeout": space.startup_timeout,
        "header": space.header,
        "fullWidth": space.full_width,
        "disable_embedding": not space.embedding,
        "short_description": space.short_description,
        "license": space.license,
        "tags": list(space.tags),
        "models": list(space.models),
        "preload_from_hub": list(space.preload),
    }
    filled = {name: value for name, value in content.items() if value != []}
    return f"---\n{yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def with_front_matter(readme: str, spacefile: Spacefile) -> str:
    """A README that begins with the Spacefile's front matter in place of its own, if it had one."""
    body = re.sub(r"\A---\n.*?^---\n", "", readme, count=1, flags=re.DOTALL | re.MULTILINE)
    return f"{front_matter(spacefile)}\n{body.lstrip()}"
