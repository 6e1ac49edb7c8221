"""Serve TLS from files that may change while the console runs."""

from __future__ import annotations

import asyncio
import logging
import ssl

from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.files import Watched
from ugicm_servicekit.reloading import Change, Use
from ugicm_servicekit.settings import ListenerSettings
from ugicm_servicekit.tls import CertificateFiles

__all__ = ["Certificates"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Certificates:
    """What TLS is served with; connections go on with what they began with.

    A change that cannot be used, such as a certificate without its key for a moment, is logged
    and leaves the files read before in use.

    Args:
        settings: name the files.
        files: sees to it that they can be used.

    Attributes:
        context: for new connections; always the same one, with what was read last.
    """

    def __init__(self, settings: ListenerSettings, files: CertificateFiles) -> None:
        self._settings = settings
        self._files = files
        self._watched = Watched(
            filter(None, [settings.tls_cert, settings.tls_key, settings.tls_ca])
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._load()
        if settings.tls_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
        self._looking = asyncio.create_task(self._look_on())

    def read(self) -> Use:
        """See whether the files can be used, and change nothing."""
        use_files = self._files.read()

        def use() -> list[Change]:
            self._load()
            return use_files()

        return use

    def close(self) -> None:
        """Look at the files no more."""
        self._looking.cancel()

    def _load(self) -> None:
        # They were seen to fit, and are PEM files of this very moment.
        settings = self._settings
        assert settings.tls_cert is not None
        self.context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
        if settings.tls_ca is not None:
            self.context.load_verify_locations(settings.tls_ca)

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._watched.changed():
                continue
            try:
                (await asyncio.to_thread(self._files.read))()
                self._load()
            except (BadSettings, OSError) as error:
                _log.error("the certificates read before stay: %s", error)
            else:
                _log.info("read new certificates from %s", self._settings.tls_cert)
