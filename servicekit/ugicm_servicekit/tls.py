"""Make gRPC's TLS credentials from PEM files, which may change while the service runs."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.files import Watched
from ugicm_servicekit.metrics import HANDSHAKES
from ugicm_servicekit.reloading import Change, Kind, Use, changes_between

__all__ = ["CertificateFiles", "KeyPair", "channel_credentials", "server_credentials"]

_log = logging.getLogger(__name__)

# OpenSSL reads X509 and TRUSTED CERTIFICATE too.
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class KeyPair:
    """A certificate chain and its private key, each a PEM file."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class _Loaded:
    cert: bytes
    key: bytes
    ca: bytes | None


class CertificateFiles:
    """What a server's credentials are read from, to see and tell what has changed.

    They are in use for the first connection after a change without being asked for.

    Args:
        pair: what the server shows.
        ca: the authorities of its clients' certificates; None: clients need none.

    Raises:
        BadSettings: the files cannot be read, or do not belong together.
    """

    def __init__(self, pair: KeyPair, ca: Path | None) -> None:
        self._pair = pair
        self._ca = ca
        self._told = self._digests()

    def read(self) -> Use:
        """See whether the files can be used, and change nothing."""
        digests = self._digests()

        def use() -> list[Change]:
            changes = changes_between(Kind.CERTIFICATE, self._told, digests)
            self._told = digests
            return changes

        return use

    def _digests(self) -> dict[str, str]:
        loaded = _load(self._pair, self._ca)
        digests = {str(self._pair.cert): _sha256(loaded.cert)}
        if loaded.ca is not None:
            digests[str(self._ca)] = _sha256(loaded.ca)
        return digests


def server_credentials(pair: KeyPair, ca: Path | None) -> grpc.ServerCredentials:
    """Return credentials that read their files again for the first connection after a change.

    A change that cannot be used, such as a certificate without its key for a moment, is logged
    and leaves the files read before in use. Connections go on with what they began with.

    Args:
        pair: what the server shows.
        ca: the authorities of its clients' certificates; None: clients need none.

    Raises:
        BadSettings: the files cannot be read, or do not belong together.
    """
    watched = Watched([pair.cert, pair.key, *filter(None, [ca])])
    first = _load(pair, ca)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks for each connection, in a thread of its own; None means as before.
        HANDSHAKES.inc()
        if not watched.changed():
            return None
        try:
            loaded = _load(pair, ca)
        except BadSettings as error:
            _log.error("the certificates read before stay: %s", error)
            return None
        _log.info("read new certificates from %s", pair.cert)
        return _configuration(loaded)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(first),
        fetch,  # type: ignore[arg-type]  # its stub forgets that None is allowed
        require_client_authentication=ca is not None,
    )


def channel_credentials(pair: KeyPair | None, ca: Path | None) -> grpc.ChannelCredentials:
    """Return credentials for a channel.

    Args:
        pair: what the client shows; None: nothing.
        ca: the authorities of the server's certificate; None: the system's.

    Raises:
        BadSettings: the files cannot be read, or do not belong together.
    """
    if pair is None:
        return grpc.ssl_channel_credentials(root_certificates=_authorities(ca))
    loaded = _load(pair, ca)
    return grpc.ssl_channel_credentials(
        root_certificates=loaded.ca, private_key=loaded.key, certificate_chain=loaded.cert
    )


def _configuration(loaded: _Loaded) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(loaded.key, loaded.cert)], root_certificates=loaded.ca
    )


def _load(pair: KeyPair, ca: Path | None) -> _Loaded:
    # gRPC would only fail every handshake: OpenSSL says now whether key and chain fit.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            pair.cert, pair.key, password=lambda: ""
        )
        return _Loaded(pair.cert.read_bytes(), pair.key.read_bytes(), _authorities(ca))
    except ssl.SSLError as error:
        reason = error.reason or "no PEM, or encrypted"
        raise BadSettings([f"cannot use {pair.cert} with {pair.key}: {reason}"]) from error
    except OSError as error:
        names = f"{pair.cert} and {pair.key}" if error.filename is None else error.filename
        raise BadSettings([f"cannot read {names}: {error.strerror}"]) from error


def _authorities(ca: Path | None) -> bytes | None:
    if ca is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
        return ca.read_bytes()
    except ssl.SSLError as error:
        raise BadSettings([f"{ca} holds no certificates: {error.reason}"]) from error
    except OSError as error:
        raise BadSettings([f"cannot read {ca}: {error.strerror}"]) from error


def _sha256(pem: bytes) -> str:
    """Return the SHA-256 of a file's certificates together: of a single one, its fingerprint."""
    digest = hashlib.sha256()
    for certificate in _PEM.finditer(pem.decode(errors="replace")):
        digest.update(base64.b64decode(certificate[2]))
    return digest.hexdigest()
