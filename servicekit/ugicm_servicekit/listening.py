"""Take a port, and tell others which one it is."""

from __future__ import annotations

import socket
from pathlib import Path

from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.durable import write_durably
from ugicm_servicekit.errors import CannotListen

__all__ = ["bound_socket", "check_address", "write_port"]


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and may listen there.

    Args:
        host: a name or an address of this machine.
        port: 0 takes a free one.

    Raises:
        CannotListen: the address is taken, foreign or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            # Two sockets with SO_REUSEADDR may bind one port; only one of them may listen.
            bound.listen()
        except OSError:
            bound.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotListen(f"cannot listen on {join_address(host, port)}: {reason}") from error
    return bound


def check_address(host: str, port: int) -> None:
    """Find out by a plain socket why grpc would fail to listen: it only says that it did.

    Raises:
        CannotListen: the address is taken, foreign or not allowed.
    """
    bound_socket(host, port).close()


def write_port(path: Path, port: int) -> None:
    """Write the port so that a reader sees all of it or no file.

    Raises:
        CannotListen: it cannot be written.
    """
    try:
        write_durably(path, f"{port}\n".encode())
    except OSError as error:
        raise CannotListen(f"cannot write the port to {path}: {error.strerror}") from error
