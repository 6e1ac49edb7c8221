"""Say how open a server is, and let it be no more open than its settings say in words."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from ugicm_servicekit.addresses import is_loopback, join_address
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.settings import Exposure, ListenerSettings, Reflection, ServerSettings
from ugicm_servicekit.tls import CertificateFiles, KeyPair, server_credentials

__all__ = ["certificates_of", "check_exposure", "credentials_of", "reflects", "tell_exposure"]

_log = logging.getLogger(__name__)


def check_exposure(settings: ListenerSettings) -> None:
    """Refuse settings by which more people could call than whoever wrote them may think.

    Raises:
        BadSettings: half of a key pair is given, or the server would be reached from other
            machines without TLS or without tokens.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise BadSettings(["tls_cert and tls_key go together, got only one of them"])
    if settings.tls_ca is not None and settings.tls_cert is None:
        raise BadSettings(["tls_ca needs tls_cert and tls_key"])
    missing = _missing(settings)
    if missing and not is_loopback(settings.host) and settings.insecure is Exposure.THIS_MACHINE:
        problem = (
            f"{settings.host} is reached from other machines and needs {missing} "
            "(tls_cert, tls_key, tokens); to go without, say "
            f"insecure = {Exposure.ANYONE.value}"
        )
        raise BadSettings([problem])


def tell_exposure(settings: ListenerSettings, port: int) -> None:
    """Log who can reach the server, as a warning where that is anybody."""
    address = join_address(settings.host, port)
    missing = _missing(settings)
    if not missing:
        _log.info("%s is served with TLS and tokens", address)
    elif is_loopback(settings.host):
        _log.info("%s is served without %s, to this machine only", address, missing)
    else:
        _log.warning(
            "INSECURE: %s is served without %s: %s", address, missing, Exposure.ANYONE.value
        )


def credentials_of(settings: ListenerSettings) -> grpc.ServerCredentials | None:
    """Return what to serve TLS with; None: plaintext.

    Raises:
        BadSettings: a file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return server_credentials(KeyPair(settings.tls_cert, settings.tls_key), settings.tls_ca)


def certificates_of(settings: ListenerSettings) -> CertificateFiles | None:
    """Return what TLS is served from, to be looked at again; None: plaintext.

    Raises:
        BadSettings: a file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return CertificateFiles(KeyPair(settings.tls_cert, settings.tls_key), settings.tls_ca)


def reflects(settings: ServerSettings) -> bool:
    """Tell whether the server answers reflection."""
    if settings.reflection is Reflection.AUTO:
        return settings.tokens is None
    return settings.reflection is Reflection.ON


def _missing(settings: ListenerSettings) -> str:
    parts: list[tuple[Path | None, str]] = [(settings.tls_cert, "TLS"), (settings.tokens, "tokens")]
    return " and ".join(name for path, name in parts if path is None)
