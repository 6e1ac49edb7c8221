"""Answer scrapes and probes by HTTP: ``/metrics``, ``/livez`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from ugicm_servicekit.addresses import is_loopback, join_address
from ugicm_servicekit.errors import CannotListen
from ugicm_servicekit.metrics import REGISTRY
from ugicm_servicekit.readiness import Readiness

__all__ = ["Scraping"]

_log = logging.getLogger(__name__)

# A loop that does not come round in this time is as good as dead.
_ALIVE_SECONDS = 5.0
# Whoever connects and says nothing holds a thread for so long.
_REQUEST_SECONDS = 5.0


class Scraping:
    """An HTTP server in threads of its own, so that it also answers for a loop that hangs.

    ``/livez`` is 200 while the event loop comes round; ``/readyz`` is 200 while the service is
    ready, also degraded, and its body says which and why. What is told names no camera, client or
    secret; it is neither encrypted nor protected.

    Args:
        host: where to listen.
        port: 0 takes a free one.
        readiness: what ``/readyz`` tells.

    Attributes:
        port: where it listens.

    Raises:
        CannotListen: the address is taken or foreign.
    """

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        self._loop = asyncio.get_running_loop()
        self._readiness = readiness
        self._metrics = make_wsgi_app(REGISTRY)
        kind = _IPv6Server if ":" in host else _Server
        try:
            self._server = make_server(host, port, self._answer, kind, handler_class=_Handler)
        except OSError as error:
            address = join_address(host, port)
            reason = error.strerror or error
            raise CannotListen(f"cannot serve metrics on {address}: {reason}") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="scraping", daemon=True
        )
        self._thread.start()
        _log.info("metrics at http://%s/metrics", join_address(host, self.port))
        if not is_loopback(host):
            _log.warning("whoever reaches %s can read the metrics", join_address(host, self.port))

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(
        self, environment: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environment.get("PATH_INFO")
        if path == "/metrics":
            scraped: Iterable[bytes] = self._metrics(environment, start_response)
            return scraped
        if path == "/livez":
            alive = self._is_alive()
            return _json(start_response, alive, {"alive": alive})
        if path == "/readyz":
            readiness = self._readiness
            body = {"state": readiness.state.value, "problems": readiness.problems}
            return _json(start_response, readiness.is_ready, body)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there are /metrics, /livez and /readyz\n"]

    def _is_alive(self) -> bool:
        answered = threading.Event()
        try:
            self._loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # it is closed
            return False
        return answered.wait(_ALIVE_SECONDS)


def _json(start_response: Callable[..., Any], good: bool, body: object) -> Iterable[bytes]:
    status = "200 OK" if good else "503 Service Unavailable"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a client did, such as to leave in the middle, for whoever wants to know."""
        _log.debug("a request for metrics failed", exc_info=True)


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - its name
        """Log nothing: scrapes come every few seconds."""
