"""The life of a gRPC server: listen, load, serve, drain."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, SERVICE_NAME
from grpc_reflection.v1alpha import reflection

from ugicm_servicekit.addresses import join_address
from ugicm_servicekit.authorisation import Authorisation
from ugicm_servicekit.clients import Clients, Shares
from ugicm_servicekit.errors import CannotListen, NotReady
from ugicm_servicekit.exposure import check_exposure, credentials_of, reflects, tell_exposure
from ugicm_servicekit.refusals import Refusals
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import StatusInterceptor, StatusTable
from ugicm_servicekit.tokens import TokenFile

__all__ = ["Server"]

_log = logging.getLogger(__name__)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_Servicer = TypeVar("_Servicer")


class Server:
    """A server that answers health checks from the start, and calls once it serves.

    Args:
        settings: where to listen, and the limits.
        table: the statuses of every error that a handler may raise.
        services: full names of the services it will have, such as ``ugicm.v1.DecoderService``.

    Attributes:
        stopping: set when draining begins; calls that would last for ever end then.
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
        self.stopping = asyncio.Event()
        self._begun = asyncio.Event()
        self._routes = _Routes()
        self.refusals = Refusals()
        check_exposure(settings)
        self._credentials = credentials_of(settings)
        self._server = grpc.aio.server(
            interceptors=_interceptors(settings, table, self.refusals),
            options=_options(settings),
            maximum_concurrent_rpcs=settings.max_calls,
        )

    async def listen(self) -> int:
        """Listen, answer health checks with NOT_SERVING and calls with UNAVAILABLE.

        Returns:
            The port: the one of the settings, or a free one if that is 0.

        Raises:
            CannotListen: the address is taken, foreign or not allowed, or the port file cannot
                be written.
        """
        host, wanted = self._settings.host, self._settings.port
        _check_address(host, wanted)
        try:
            port = self._add_port(join_address(host, wanted))
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {join_address(host, wanted)}: {error}") from error
        health = _Health((OVERALL_HEALTH, *self._services), self._begun, self.stopping)
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        if reflects(self._settings):
            reflected = (*self._services, SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(reflected, self._server)
        self._server.add_generic_rpc_handlers((self._routes,))
        await self._server.start()
        _log.info("listening on %s", join_address(host, port))
        tell_exposure(self._settings, port)
        if self._settings.port_file is not None:
            _write_port(self._settings.port_file, port)
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

    async def serve(self) -> None:
        """Report SERVING until ``stop`` is called, then drain.

        Draining reports NOT_SERVING, refuses new calls and lets the running ones finish within
        ``drain_seconds``; what runs longer is cancelled.
        """
        if not self.stopping.is_set():
            self._begun.set()
            _log.info("ready")
        await self.stopping.wait()
        _log.info("draining for at most %g s", self._settings.drain_seconds)
        await self._server.stop(self._settings.drain_seconds)
        _log.info("stopped")

    def stop(self) -> None:
        """Let ``serve`` drain and return."""
        self.stopping.set()
        self._begun.set()

    async def close(self) -> None:
        """Cancel what still runs, and let go of the port."""
        await self._server.stop(None)
        if self._port_file is not None:
            self._port_file.unlink(missing_ok=True)


class _Health(health_pb2_grpc.HealthServicer):
    """Health checking of services that begin and end together; its watches hold up no drain.

    Args:
        names: of the services.
        begun: set when the services begin to serve, or never will.
        stopping: set when they end.
    """

    def __init__(
        self, names: Collection[str], begun: asyncio.Event, stopping: asyncio.Event
    ) -> None:
        self._names = names
        self._begun = begun
        self._stopping = stopping

    async def Check(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Return the service's status."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return self._response(request)

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Report the service's status whenever it changes, until it ends."""
        for change in (self._begun, self._stopping):
            if not change.is_set():
                yield self._response(request)
                await change.wait()
        yield self._response(request)

    def _response(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            return health_pb2.HealthCheckResponse(status=_SERVICE_UNKNOWN)
        serving = self._begun.is_set() and not self._stopping.is_set()
        return health_pb2.HealthCheckResponse(status=_SERVING if serving else _NOT_SERVING)


class _Routes(grpc.GenericRpcHandler):
    """Handlers that may come after the server's start, where grpc wants all of them before it."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers, as generated code does to a server."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Ignore what ``add_generic_rpc_handlers`` was given too."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the method's handler, or one that says the service is still starting."""
        if not self._handlers:
            return grpc.stream_stream_rpc_method_handler(_refuse)
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((handler for handler in found if handler is not None), None)


async def _refuse(request: Any, context: Any) -> None:
    raise NotReady("the service is still starting")


def _interceptors(
    settings: ServerSettings, table: StatusTable, refusals: Refusals
) -> list[grpc.aio.ServerInterceptor]:
    """Return them from the outermost to the innermost."""
    authorisation = [] if settings.tokens is None else [Authorisation(TokenFile(settings.tokens))]
    clients = Clients(
        max_calls=settings.max_calls_per_client, max_pixels=settings.max_pixels_per_client
    )
    shares = Shares(clients, request_seconds=settings.request_seconds)
    return [StatusInterceptor(table, refusals), *authorisation, shares]


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Without this a second server takes a part of the first one's calls.
        ("grpc.so_reuseport", 0),
        # Clients look after idle connections every 30 s; grpc would call that abuse.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Finds out within 80 s that a client is gone whose calls are quiet.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Whoever connects and then says nothing is let go.
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_seconds)),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.connection_idle_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.connection_grace_seconds)),
    ]
    age = settings.connection_age_seconds
    if age is not None:
        options.append(("grpc.max_connection_age_ms", _milliseconds(age)))
    return options


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _check_address(host: str, port: int) -> None:
    """Find out by a plain socket why grpc would fail: it only says that it did."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets with SO_REUSEADDR may bind one port; only one of them may listen.
            probe.listen()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotListen(f"cannot listen on {join_address(host, port)}: {reason}") from error


def _write_port(path: Path, port: int) -> None:
    """Write the port so that a reader sees all of it or no file."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(f"{port}\n")
        new.replace(path)
    except OSError as error:
        raise CannotListen(f"cannot write the port to {path}: {error.strerror}") from error
