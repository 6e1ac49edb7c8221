"""What a client shows to be let in: certificates and a token, each from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from ugicm_servicekit.addresses import host_of, is_loopback
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.settings import Transport, UpstreamSettings
from ugicm_servicekit.tls import KeyPair, channel_credentials

__all__ = ["Access", "access_of"]


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a channel travels, and what it shows.

    Args:
        transport: TLS, or plaintext; a file of TLS means TLS.
        ca: the authorities of the server's certificate, PEM; None: the system's.
        cert: the client's own certificate chain, PEM.
        key: its private key, PEM.
        token_file: a file that holds the token.
        token: the token itself, where it does not come from a file.
    """

    transport: Transport = Transport.PLAINTEXT
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def uses_tls(self) -> bool:
        """Whether bytes travel encrypted."""
        return self.transport is Transport.TLS or any(self.tls_files())

    def tls_files(self) -> Iterator[Path]:
        """Yield the files that credentials are made from."""
        yield from filter(None, (self.ca, self.cert, self.key))

    def check(self, address: str) -> None:
        """Refuse what would show a token to others, or cannot work.

        Raises:
            BadSettings: a token would travel to another machine in plaintext, half of a key pair
                is given, or a file cannot be used.
        """
        if self.uses_tls:
            self.credentials()
        elif self.read_token() is not None and not is_loopback(host_of(address)):
            raise BadSettings([f"a token goes to another machine by TLS only, not to {address}"])

    def credentials(self) -> grpc.ChannelCredentials:
        """Return TLS credentials from the files as they are now.

        Raises:
            BadSettings: a file cannot be used, or half of a key pair is given.
        """
        if self.cert is None and self.key is None:
            return channel_credentials(None, self.ca)
        if self.cert is None or self.key is None:
            raise BadSettings(["a certificate and its key go together, got only one of them"])
        return channel_credentials(KeyPair(self.cert, self.key), self.ca)

    def read_token(self) -> str | None:
        """Return the token as it is now, if there is one.

        Raises:
            BadSettings: the file cannot be read, or holds no token.
        """
        if self.token_file is None:
            return self.token
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise BadSettings([f"cannot read {self.token_file}: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise BadSettings([f"{self.token_file} holds no token"]) from error
        if not token or not token.isprintable() or " " in token:
            raise BadSettings([f"{self.token_file} holds no token"])
        return token


def access_of(settings: UpstreamSettings) -> Access:
    """Return what a service shows to the one behind it."""
    return Access(
        transport=settings.upstream_transport,
        ca=settings.upstream_tls_ca,
        cert=settings.upstream_tls_cert,
        key=settings.upstream_tls_key,
        token_file=settings.upstream_token_file,
    )
