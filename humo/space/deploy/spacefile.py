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
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from huggingface_hub import SpaceHardware
from pydantic import AfterValidator, BaseModel, ConfigDict, StrictBool, StrictInt, ValidationError

NAME = "Spacefile"
_BESIDE = Path(__file__).parents[3]
ROOT = _BESIDE if (_BESIDE / NAME).is_file() else Path.cwd()
"""The checkout in which this package lies; of an installed package, the folder in which it is called."""
ZERO_GPU = SpaceHardware.ZERO_A10G.value
"""Under this name the Hub lends a GPU by the call, whichever it is."""
ZERO_GPU_PYTHON = "3.12.12"
"""Of the Pythons that ZeroGPU offers the one that this project runs on."""
COLORS = "red|yellow|green|blue|indigo|purple|pink|gray"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Section(BaseModel):
    """Fields of which each must be there, and no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def rule(allowed: str | Callable[[Any], bool], words: str) -> AfterValidator:
    """A pattern or a question that a value must pass, and what is allowed in words; None is never asked."""

    def check(value: Any) -> Any:
        if value is not None and not (allowed(value) if callable(allowed) else re.fullmatch(allowed, value)):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _is_emoji(text: str) -> bool:
    """One sign, which may be joined of several or have a tone."""
    kinds = [unicodedata.category(character) for character in text]
    signs = kinds.count("So") - text.count("\N{ZERO WIDTH JOINER}")
    is_flag = len(text) == 2 and all("\U0001f1e6" <= character <= "\U0001f1ff" for character in text)
    return kinds[:1] == ["So"] and set(kinds) <= {"So", "Sk", "Mn", "Cf"} and (signs == 1 or is_flag)


_DURATION = (r"[1-9]\d*[smh]", "a number with s, m or h, such as 10m")
_HARDWARE = ("|".join(map(re.escape, (each.value for each in SpaceHardware))), "the Hub's name of a hardware")
_REPOSITORY = r"[\w.-]+/[\w.-]+"
_PRELOAD = rf"{_REPOSITORY}( \S+( [\w.-]+)?)?"
_INSIDE = (r"(?!.*\.\.)[^/].*", "patterns inside the top folder")


class Space(Section):
    """How the Hub builds the Space and shows it."""

    id: Annotated[str, rule(r"[A-Za-z0-9][\w.-]{0,95}", "a name of letters, digits, '-', '_' and '.'")]
    """Its name without the owner's."""
    visibility: Annotated[str, rule("public|protected|private", "public, protected or private")]
    """Who may see a new Space: "public", "protected" (the page, not its files) or "private"."""
    title: Annotated[str, rule(r"\S(.{0,78}\S)?", "1 to 80 characters")]
    emoji: Annotated[str, rule(_is_emoji, "one emoji")]
    colors: tuple[Annotated[str, rule(COLORS, f"two of {COLORS.replace('|', ', ')}")], ...]
    """Two, of the card's gradient."""
    header: Annotated[str, rule("mini|default", "mini or default")]
    """The Hub's bar above the page: "mini" or "default"."""
    full_width: StrictBool
    """Whether the page may be as wide as the window."""
    embedding: StrictBool
    """Whether other sites may show the page in a frame."""
    sdk: Annotated[str, rule("gradio", "gradio")]
    sdk_version: Annotated[str, rule(r"\d+\.\d+\.\d+", "a version such as 6.31.0")]
    """The same as in requirements.txt."""
    python_version: Annotated[str, rule(r"3\.1[12](\.\d+)?", "3.11 or 3.12, with a patch or without")]
    app_file: Annotated[str, rule(r"[\w.-]+\.py", "a Python file of the top folder")]
    short_description: Annotated[str, rule(r"\S(.{0,58}\S)?", "1 to 60 characters, for the Hub cuts longer ones")]
    license: Annotated[str, rule(r"[a-z0-9][a-z0-9.-]*", "the Hub's name of a licence, such as apache-2.0")]
    tags: tuple[Annotated[str, rule(r"[a-z0-9][a-z0-9.:-]*", "words in small letters, joined by '-'")], ...]
    models: tuple[Annotated[str, rule(_REPOSITORY, "names of repositories as owner/name")], ...]
    """Repositories that the card links to."""
    preload: tuple[Annotated[str, rule(_PRELOAD, "lines of the form 'owner/name files revision'")], ...]
    """Repositories whose files are fetched while the Space is built: "owner/name [files by comma [revision]]"."""
    startup_timeout: Annotated[str, rule(*_DURATION)]
    """How long the app may take to start, as "10m"."""


class Hardware(Section):
    """Where the Space runs."""

    request: Annotated[str, rule(*_HARDWARE)]
    """The Hub's name of it."""
    sleep_time: Annotated[str | None, rule(*_DURATION)]
    """After how long without a visitor paid hardware sleeps; None for the Hub's own time."""
    fallback: Annotated[str | None, rule(*_HARDWARE)]
    """Asked for where `request` is refused; None for nothing."""


class Volume(Section):
    """A bucket of the owner's that the Space sees as a folder."""

    type: Annotated[str, rule("bucket", "bucket")]
    source: Annotated[str, rule(r"[\w.-]+", "the bucket's name without its owner's")]
    """The bucket's name without the owner's."""
    mount_path: Annotated[str, rule(r"/[\w./-]+", "a folder that begins with '/'")]
    optional: StrictBool
    """Whether the Space is of use without it."""


class Storage(Section):
    """What outlives a restart."""

    volumes: tuple[Volume, ...]


class Env(Section):
    """What the app finds in its environment."""

    variables: dict[str, str]
    """Everybody may read them."""
    secrets: tuple[str, ...]
    """Names only; whoever deploys has the values in an environment."""


class Files(Section):
    """What is uploaded."""

    include: tuple[Annotated[str, rule(*_INSIDE)], ...]
    """Patterns in which ** stands for any folders and * for anything but a slash; hidden files never match."""
    exclude: tuple[Annotated[str, rule(*_INSIDE)], ...]
    max_bytes: Annotated[StrictInt, rule(lambda value: value > 0, "a number of bytes")]
    """Of all files together."""


class Model(Section):
    """The weights that travel with the files."""

    path: Annotated[str, rule(r"(?!.*\.\.)[^/].*", "a folder inside the top folder")]
    files: dict[str, str]
    """Every weights file below `path`: its SHA-256."""


class Checks(Section):
    """When a deployment has succeeded."""

    run_within: Annotated[str, rule(*_DURATION)]
    """How long building and starting may take."""
    url: Annotated[str, rule(r"/\S*", "a path that begins with '/'")]
    """Path that is asked once the Space runs."""
    timeout: Annotated[str, rule(*_DURATION)]
    """How long it may take to answer as expected."""
    expect: Annotated[StrictInt, rule(lambda value: 200 <= value < 600, "an HTTP status, such as 200")]
    """HTTP status."""


class Spacefile(Section):
    """The whole file."""

    version: Annotated[StrictInt, rule(lambda value: value == 1, "1")]
    space: Space
    hardware: Hardware
    storage: Storage
    env: Env
    files: Files
    model: Model
    checks: Checks


_CREDENTIAL = re.compile(r"(hf_|sk-|ghp_|xox[a-z]-)\w{8,}|eyJ[\w-]{10,}\.|-----BEGIN")
_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "names with texts",
}


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
    try:
        spacefile = Spacefile.model_validate(data)
    except ValidationError as error:
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # for it may be misspelt
        raise _sentence(first) from None
    _check_versions(spacefile, root)
    _check_hardware(spacefile)
    _check_storage(spacefile.storage)
    _check_env(spacefile.env)
    _check_model(spacefile.model)
    return spacefile


def seconds(duration: str) -> int:
    """Seconds of a duration such as "90s", "10m" or "1h"."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _sentence(error: Mapping[str, Any]) -> ValueError:
    """What is wrong, in a sentence that names the field."""
    section: Any = Spacefile
    name = ""
    for part in error["loc"]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
        field = getattr(section, "model_fields", {}).get(part)
        section = section if field is None else field.annotation
        section = get_args(section)[0] if get_origin(section) is tuple else section
    fields = ", ".join(getattr(section, "model_fields", {}))
    match error["type"]:
        case "missing":
            return ValueError(f"The {NAME} lacks the field {name}: add it.")
        case "extra_forbidden" | "invalid_key":
            return ValueError(f"The {NAME} has an unknown field {name}: use {fields}.")
        case "model_type":
            return ValueError(f"The {NAME}'s {name or 'content'} must be a group of fields: {fields}.")
        case "value_error":
            return _wrong(name, error["input"], str(error["ctx"]["error"]))
        case kind if name.startswith("env.variables"):
            return _wrong("env.variables", None, _KINDS["dict_type"])
        case kind:
            return _wrong(name, error["input"], _KINDS.get(kind, error["msg"]))


def _wrong(name: str, value: Any, words: str) -> ValueError:
    shown = "of another kind" if name.startswith("env.") else repr(value)  # may be a secret in the wrong place
    return ValueError(f"The {NAME}'s {name} is {shown}: give {words}.")


def _check_versions(spacefile: Spacefile, root: Path) -> None:
    space, hardware = spacefile.space, spacefile.hardware
    if len(space.colors) != 2:
        raise _wrong("space.colors", list(space.colors), f"two of {COLORS.replace('|', ', ')}")
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
