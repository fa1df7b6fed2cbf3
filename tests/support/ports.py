"""Ports for the servers that tests start in processes of their own."""

from __future__ import annotations

import os
import socket
from itertools import cycle
from secrets import randbelow

FIRST, LAST = 20_000, 32_000
"""Below those that the system gives to whoever asks for any, at a connection for example."""


def _own_ports() -> list[int]:
    """Those of this process of pytest-xdist alone, from a random one on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(FIRST + number, LAST, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    start = randbelow(len(ports))
    return [*ports[start:], *ports[:start]]


_ports = cycle(_own_ports())


def free_port() -> int:
    """One at which nobody serves here, and that nobody is given until a server has started there."""
    for port in _ports:
        with socket.socket() as here:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a server that has just ended
            try:
                here.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("there is no end to the ports")
