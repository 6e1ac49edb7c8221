"""Ports that nobody else takes, neither before they are used nor between two uses."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

# Below those that are handed out where a program asks for any (32768 and above on Linux), and far
# from those of other processes of these tests.
_ports = itertools.count(10_000 + 128 * os.getpid() % 20_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was not returned before."""
    while True:
        port = next(_ports)
        with suppress(OSError), socket.create_server((host, port)):
            return port
