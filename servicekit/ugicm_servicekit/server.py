"""The life of a gRPC server: listen, load, serve, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, SERVICE_NAME
from grpc_reflection.v1alpha import reflection

from ugicm.v1 import admin_pb2_grpc
from ugicm_servicekit import admin
from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.authorisation import Authorisation
from ugicm_servicekit.clients import Clients, Shares
from ugicm_servicekit.errors import CallError, CannotListen, NotReady, Stopping
from ugicm_servicekit.exposure import (
    certificates_of,
    check_exposure,
    credentials_of,
    reflects,
    tell_exposure,
)
from ugicm_servicekit.health import Health
from ugicm_servicekit.listening import check_address, write_port
from ugicm_servicekit.observation import CallsUnderWay, Observation
from ugicm_servicekit.readiness import Problem, Readiness, Severity
from ugicm_servicekit.refusals import Refusals
from ugicm_servicekit.reloading import Reloader
from ugicm_servicekit.scraping import Scraping
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import StatusInterceptor, StatusTable
from ugicm_servicekit.tokens import TokenFile

__all__ = ["Server"]

_log = logging.getLogger(__name__)
_Servicer = TypeVar("_Servicer")

# How long the statuses of calls that have ended may take to be sent.
_FLUSH_SECONDS = 1.0
# Clients that watch its health go elsewhere while calls are still refused in a way that they try
# again. What comes while the port closes, grpc cancels, and no client may try that again.
_QUIET_SECONDS = 0.1
_LEAVING_SECONDS = 1.0

_STARTING = Problem(Severity.BLOCKS, "the service is still starting")
_DRAINING = Problem(Severity.BLOCKS, "the service is stopping")


class Server:
    """A server that answers health checks from the start, and calls once it serves.

    Args:
        settings: where to listen, and the limits.
        table: the statuses of every error that a handler may raise.
        services: full names of the services it will have, such as ``ugicm.v1.DecoderService``.

    Attributes:
        stopping: set when draining begins; calls that would last for ever end then.
        serving: set once ``serve`` was called.
        reloader: reads tokens and certificates anew, and what services add to it.
        readiness: whether calls are welcome; services report to it.
        refusals: what it refused so far, by method and status.

    Raises:
        BadSettings: a file of tokens or certificates cannot be used, or the settings leave the
            server open to other machines without saying so.
    """

    def __init__(
        self, settings: ServerSettings, table: StatusTable, *, services: Sequence[str]
    ) -> None:
        self._settings = settings
        self._services = services
        # Once it is written: one that is there before belongs to another server.
        self._port_file: Path | None = None
        self._scraping: Scraping | None = None
        self.stopping = asyncio.Event()
        self.serving = asyncio.Event()
        self._failure: Exception | None = None
        self.reloader = Reloader()
        self.readiness = Readiness()
        self.readiness.report("start", _STARTING)
        self._calls = CallsUnderWay()
        self._routes = _Routes(self.stopping)
        self.refusals = Refusals()
        check_exposure(settings)
        self._credentials = credentials_of(settings)
        certificates = certificates_of(settings)
        if certificates is not None:
            self.reloader.add(certificates)
        tokens = None if settings.tokens is None else TokenFile(settings.tokens)
        if tokens is not None:
            self.reloader.add(tokens)
        self._server = grpc.aio.server(
            interceptors=_interceptors(settings, table, self.refusals, self._calls, tokens),
            options=_options(settings),
            # Behind our own limit: where that refuses calls, health checks are still answered.
            maximum_concurrent_rpcs=2 * settings.max_calls,
        )

    async def listen(self) -> int:
        """Listen, answer health checks with NOT_SERVING and calls with UNAVAILABLE.

        Returns:
            The port: the one of the settings, or a free one if that is 0.

        Raises:
            CannotListen: the address, or that for metrics, is taken, foreign or not allowed, or
                the port file cannot be written.
        """
        host, wanted = self._settings.host, self._settings.port
        check_address(host, wanted)
        try:
            port = self._add_port(join_address(host, wanted))
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {join_address(host, wanted)}: {error}") from error
        health = Health((OVERALL_HEALTH, *self._services), self.readiness, self.stopping)
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        if reflects(self._settings):
            reflected = (*self._services, admin.SERVICE, SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(reflected, self._server)
        self._server.add_generic_rpc_handlers((self._routes,))
        if self._settings.metrics_port is not None:
            self._scraping = Scraping(
                self._settings.metrics_host, self._settings.metrics_port, self.readiness
            )
        await self._server.start()
        _log.info("listening on %s", join_address(host, port))
        tell_exposure(self._settings, port)
        if self._settings.port_file is not None:
            write_port(self._settings.port_file, port)
            self._port_file = self._settings.port_file
        return port

    def _add_port(self, address: str) -> int:
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials)

    def add(
        self, register: Callable[[_Servicer, grpc.aio.Server], None], servicer: _Servicer
    ) -> None:
        """Add a servicer by its generated ``add_..._to_server``; its calls are answered at once."""
        register(servicer, cast("grpc.aio.Server", self._routes))

    @property
    def metrics_port(self) -> int | None:
        """Where metrics and probes are answered, once it listens; None: nowhere."""
        return None if self._scraping is None else self._scraping.port

    async def serve(self) -> None:
        """Report SERVING until ``stop`` is called, then drain.

        Draining reports NOT_SERVING, refuses new calls and lets the running ones finish within
        ``drain_seconds``; what runs longer is cancelled. Health checks and probes are answered
        until its end.

        Raises:
            Exception: the one that ``stop`` was given, after draining.
        """
        servicer = admin.AdminServicer(self.reloader)
        self.add(admin_pb2_grpc.add_AdminServiceServicer_to_server, servicer)
        self.serving.set()
        if not self.stopping.is_set():
            self.readiness.report("start", None)
            _log.info("ready%s", "".join(f"; {text}" for text in self.readiness.problems))
        await self.stopping.wait()
        _log.info("draining for at most %g s", self._settings.drain_seconds)
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._calls.none()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVING_SECONDS):
                        await self._calls.quiet(_QUIET_SECONDS)
            await self._server.stop(_FLUSH_SECONDS)
        except TimeoutError:
            await self._server.stop(None)
        _log.info("stopped")
        if self._failure is not None:
            raise self._failure

    def stop(self, *, because: Exception | None = None) -> None:
        """Let ``serve`` drain and return.

        Args:
            because: what the service cannot go on after; ``serve`` raises it in the end, so that
                the process fails, and whoever looks after it starts it again.
        """
        if because is not None and not self.stopping.is_set():
            _log.error("cannot go on: %s", because)
            self._failure = because
        self.readiness.report("stop", _DRAINING)
        self.stopping.set()

    async def close(self) -> None:
        """Cancel what still runs, and let go of the port."""
        await self._server.stop(None)
        if self._scraping is not None:
            await asyncio.to_thread(self._scraping.close)
        if self._port_file is not None:
            self._port_file.unlink(missing_ok=True)


class _Routes(grpc.GenericRpcHandler):
    """Handlers that may come after the server's start, where grpc wants all of them before it."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers, as generated code does to a server."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Ignore what ``add_generic_rpc_handlers`` was given too."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the method's handler, or one that says why there is none now."""
        if self._stopping.is_set():
            return _refusing(Stopping("the service is stopping and takes no more calls"))
        if not self._handlers:
            return _refusing(NotReady("the service is still starting"))
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((handler for handler in found if handler is not None), None)


def _refusing(error: CallError) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(request: Any, context: Any) -> None:
        raise error

    return grpc.stream_stream_rpc_method_handler(refuse)


def _interceptors(
    settings: ServerSettings,
    table: StatusTable,
    refusals: Refusals,
    calls: CallsUnderWay,
    tokens: TokenFile | None,
) -> list[grpc.aio.ServerInterceptor]:
    """Return them from the outermost to the innermost."""
    authorisation = [] if tokens is None else [Authorisation(tokens)]
    clients = Clients(
        max_calls=settings.max_calls_per_client,
        max_calls_in_all=settings.max_calls,
        max_pixels=settings.max_pixels_per_client,
    )
    shares = Shares(clients, request_seconds=settings.request_seconds)
    return [Observation(calls), StatusInterceptor(table, refusals), *authorisation, shares]


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Without this a second server takes a part of the first one's calls.
        ("grpc.so_reuseport", 0),
        # Clients look after idle connections every 30 s; grpc would call that abuse.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Finds out that a client is gone whose calls are quiet.
        ("grpc.keepalive_time_ms", _milliseconds(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(settings.keepalive_timeout_seconds)),
        # It waits so long for the answer to any ping, whatever the timeout above: else 60 s.
        ("grpc.http2.ping_timeout_ms", _milliseconds(settings.keepalive_timeout_seconds)),
        # Else it asks twice, and never again until it has data to send.
        ("grpc.http2.max_pings_without_data", 0),
        # Whoever connects and then says nothing is let go.
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_seconds)),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
        # Else it refuses streams at random where many have ended and are not tidied up yet: calls
        # fail as UNAVAILABLE, without a hint. Our own limits hold.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.connection_idle_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.connection_grace_seconds)),
    ]
    age = settings.connection_age_seconds
    if age is not None:
        options.append(("grpc.max_connection_age_ms", _milliseconds(age)))
    return options


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
