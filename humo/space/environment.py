"""What the page finds where it is started: its temporary folder, its port, and the path that a proxy gives it.

Gradio reads these from variables when it is imported, and ends with a traceback where one of them is wrong. So they are
read here before, and refused in a sentence. Needs no gradio. Ours.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from humo.space.stubs import write_no_stubs
from humo.space.temporary import claim_folder
from humo.system.threads import tell_quota

FIRST_PORT, NUM_PORTS = 7860, 100
"""Where a free port is looked for if none is asked for, as Gradio does."""
MAX_PORT = 65_535
COMPILE = "HUMO_COMPILE"
"""Whether the page compiles a small model (`humo.space.compiling`): on, which is the default, or off."""
_PORT, _HOST, _ROOT = "GRADIO_SERVER_PORT", "GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH"
_LOCAL = "127.0.0.1"


def prepare() -> Path:
    """Claim the page's temporary folder and set the variables that libraries read; call it before any is imported.

    Returns:
        The folder, which goes with the process.
    """
    with exit_on_bad_input():
        read_compile(os.environ)
        _check_host(os.environ.get(_HOST, ""))
        if read_port(os.environ) is None:
            os.environ.pop(_PORT, None)  # an empty one, which gradio cannot read
        os.environ[_ROOT] = read_root(os.environ)
        folder = claim_folder(os.environ.get("GRADIO_TEMP_DIR"))
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(folder)  # what is made for a moment goes with it too
    write_no_stubs()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    tell_quota(os.environ)
    return folder


@contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Where a page cannot start because of what it is given, print the sentence and end the process: exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # gradio's own, of a port just taken, has none
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def read_port(environment: Mapping[str, str]) -> int | None:
    """The port that GRADIO_SERVER_PORT asks for; None if it is empty or not set.

    Raises:
        ValueError: if it is no port.
    """
    text = environment.get(_PORT, "").strip()
    if text and not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PORT):
        raise ValueError(f"{_PORT} is {text[:40]!r}: give a whole number from 1 to {MAX_PORT}, or do not set it.")
    return int(text) if text else None


def read_compile(environment: Mapping[str, str]) -> bool:
    """Whether HUMO_COMPILE lets the page compile.

    Raises:
        ValueError: if it is neither on nor off.
    """
    text = environment.get(COMPILE, "").strip().lower()
    if text not in ("", "on", "off"):
        raise ValueError(f"{COMPILE} is {text[:40]!r}: give on or off, or do not set it.")
    return text != "off"


def read_root(environment: Mapping[str, str]) -> str:
    """The path, or the whole address, under which a proxy serves the page: "" if GRADIO_ROOT_PATH names none.

    Raises:
        ValueError: if it is neither.
    """
    root = environment.get(_ROOT, "").strip().rstrip("/")
    if not re.fullmatch(r"(https?://[\w.:\[\]-]+)?(/[\w.~-]+)*", root, re.ASCII):
        raise ValueError(
            f"{_ROOT} is {root[:60]!r}: give the path under which the proxy serves the page, from a slash on (/humo), "
            "or its whole address (https://...)."
        )
    return root


def find_place(host: str | None, port: int | None) -> tuple[str, int]:
    """Where to serve the page: host and port, both free and as Gradio takes them.

    Args:
        host: None for that of GRADIO_SERVER_NAME, or without it this computer alone.
        port: None for that of GRADIO_SERVER_PORT, or without it the first free one from 7860 on.

    Raises:
        ValueError: in one sentence, if the port is none or taken, or the host none of this computer.
    """
    usual = os.environ.get(_HOST) or _LOCAL
    host = (host or usual).strip("[]")
    asked = read_port(os.environ) if port is None else port
    if asked is not None and not 1 <= asked <= MAX_PORT:
        raise ValueError(f"The port is {asked}: give a whole number from 1 to {MAX_PORT}.")
    ports = range(FIRST_PORT, FIRST_PORT + NUM_PORTS) if asked is None else [asked]
    for number in ports:
        error = _why_not(host, number) or _why_not(usual, number)  # the second is Gradio's own trial
        if error is None:
            _ask_without_proxy(host)
            return f"[{host}]" if ":" in host else host, number
        refused = error
        if refused.errno != errno.EADDRINUSE:
            break
    other = f"name another one, as `--port` or in {_PORT}"
    if refused.errno == errno.EADDRINUSE:
        taken = f"Port {asked} is" if asked is not None else f"The ports from {ports[0]} to {ports[-1]} are all"
        raise ValueError(f"{taken} taken by another program: end that one, or {other}.")
    if refused.errno == errno.EACCES:
        raise ValueError(f"This user may not serve at port {number}: {other}, from 1024 on.")
    raise ValueError(
        f"The page cannot be served at {host} ({refused.strerror}): `--host` and {_HOST} take an address of this "
        "computer, as 127.0.0.1 for itself alone or 0.0.0.0 for others too."
    )


def _check_host(host: str) -> None:
    if ":" in host:
        raise ValueError(f"{_HOST} is {host[:40]!r}, which Gradio takes as an option only: give `--host {host[:40]}`.")


def _why_not(host: str, port: int) -> OSError | None:
    """What keeps a server from an address, as asyncio would open it; None if nothing does."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                tried.bind(address)
    except OSError as error:  # unknown names too
        return error
    return None


def _ask_without_proxy(host: str) -> None:
    """Gradio asks the page whether it is there: not the proxy that leads to the web, if the user has one."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = dict.fromkeys([*given.split(","), "localhost", _LOCAL, host])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, hosts))
