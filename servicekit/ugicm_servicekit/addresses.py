"""Write addresses, and tell whether one stays on this machine."""

from __future__ import annotations

import ipaddress

__all__ = ["host_of", "is_loopback", "join_address"]


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(address: str) -> str:
    """Return the host of ``host:port``, an IPv6 address without its brackets."""
    return address.rpartition(":")[0].removeprefix("[").removesuffix("]")


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine reach ``host``; other names do not count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
