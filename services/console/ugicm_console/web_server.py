"""The life of the console's HTTP server: listen, load, serve, drain."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ugicm_console.certificates import Certificates
from ugicm_console.status import answer_to
from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.errors import NotReady, Stopping
from ugicm_servicekit.exposure import certificates_of, check_exposure, tell_exposure
from ugicm_servicekit.listening import bound_socket, write_port
from ugicm_servicekit.readiness import Problem, Readiness, Severity
from ugicm_servicekit.reloading import Reloader
from ugicm_servicekit.scraping import Scraping
from ugicm_servicekit.settings import ListenerSettings
from ugicm_servicekit.tokens import TokenFile

__all__ = ["WebServer"]

_log = logging.getLogger(__name__)

_STARTING = Problem(Severity.BLOCKS, "the service is still starting")
_DRAINING = Problem(Severity.BLOCKS, "the service is stopping")
# How long a browser's connection may be without a request.
_IDLE_SECONDS = 75


class WebServer:
    """A server that answers probes from the start, and browsers once it serves.

    It lives as ``ugicm_servicekit.server.Server`` does, by the same settings.

    Args:
        settings: where to listen, and the limits.

    Attributes:
        stopping: set when draining begins; answers that would last for ever end then.
        serving: set once ``serve`` was called.
        reloader: reads tokens and certificates anew.
        readiness: whether requests are welcome; services report to it.
        tokens: that may sign in; None: nobody has to.

    Raises:
        BadSettings: a file of tokens or certificates cannot be used, or the settings leave the
            server open to other machines without saying so.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        self._settings = settings
        self._port_file: Path | None = None
        self._scraping: Scraping | None = None
        self._app: ASGIApp | None = None
        self._running: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        self.serving = asyncio.Event()
        self.reloader = Reloader()
        self.readiness = Readiness()
        self.readiness.report("start", _STARTING)
        check_exposure(settings)
        files = certificates_of(settings)
        self._certificates: Certificates | None = None
        if files is not None:
            self._certificates = Certificates(settings, files)
            self.reloader.add(self._certificates)
        self.tokens = None if settings.tokens is None else TokenFile(settings.tokens)
        if self.tokens is not None:
            self.reloader.add(self.tokens)
        self._server = _Uvicorn(self._config())

    @property
    def is_encrypted(self) -> bool:
        """Whether it is served with TLS."""
        return self._certificates is not None

    @property
    def metrics_port(self) -> int | None:
        """Where metrics and probes are answered, once it listens; None: nowhere."""
        return None if self._scraping is None else self._scraping.port

    async def listen(self) -> int:
        """Listen, and answer requests with 503 until ``serve``.

        Returns:
            The port: the one of the settings, or a free one if that is 0.

        Raises:
            CannotListen: the address, or that for metrics, is taken, foreign or not allowed, or
                the port file cannot be written.
        """
        settings = self._settings
        bound = bound_socket(settings.host, settings.port)
        port: int = bound.getsockname()[1]
        try:
            if settings.metrics_port is not None:
                self._scraping = Scraping(
                    settings.metrics_host, settings.metrics_port, self.readiness
                )
            if settings.port_file is not None:
                write_port(settings.port_file, port)
                self._port_file = settings.port_file
        except BaseException:
            bound.close()
            raise
        self._running = asyncio.create_task(self._server.serve([bound]))
        _log.info("listening on %s", join_address(settings.host, port))
        tell_exposure(settings, port)
        return port

    async def serve(self, app: ASGIApp) -> None:
        """Answer requests by ``app`` until ``stop`` is called, then drain.

        Draining takes no new connections and lets running requests finish within
        ``drain_seconds``; what runs longer is cancelled.
        """
        self._app = app
        self.serving.set()
        if not self.stopping.is_set():
            self.readiness.report("start", None)
            _log.info("ready%s", "".join(f"; {text}" for text in self.readiness.problems))
        await self.stopping.wait()
        _log.info("draining for at most %g s", self._settings.drain_seconds)
        await self._end()
        _log.info("stopped")

    def stop(self) -> None:
        """Let ``serve`` drain and return."""
        self.readiness.report("stop", _DRAINING)
        self.stopping.set()

    async def close(self) -> None:
        """Cancel what still runs, and let go of the port."""
        self._server.force_exit = True
        await self._end()
        if self._certificates is not None:
            self._certificates.close()
        if self._scraping is not None:
            await asyncio.to_thread(self._scraping.close)
        if self._port_file is not None:
            self._port_file.unlink(missing_ok=True)

    async def _end(self) -> None:
        if self._running is not None:
            self._server.should_exit = True
            await asyncio.wait([self._running])

    def _config(self) -> uvicorn.Config:
        settings, certificates = self._settings, self._certificates

        def context(_: uvicorn.Config, __: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
            assert certificates is not None  # else uvicorn is not given this function
            return certificates.context

        # It tells of its own start and end, which this class does already.
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        return uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="off",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # What other machines say of themselves in headers is not believed.
            proxy_headers=False,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
            ssl_context_factory=None if certificates is None else context,
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if app is None:
            app = answer_to(NotReady("the service is still starting"), route="any")
        elif self.stopping.is_set():
            app = answer_to(Stopping("the service is stopping"), route="any")
        await app(scope, receive, send)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own handling of signals: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
