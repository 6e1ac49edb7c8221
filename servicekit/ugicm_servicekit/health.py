"""Answer gRPC health checks: whether a server is alive, and whether it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ugicm_servicekit.readiness import Readiness

__all__ = ["LIVENESS", "Health"]

# The name to ask for where an answer is all that matters.
LIVENESS = "liveness"

_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Health checking of services that are ready together; its watches hold up no drain.

    ``liveness`` serves for as long as the process answers; a service's name, and none, while calls
    are welcome.

    Args:
        names: of the services, and the empty one.
        readiness: decides.
        stopping: set when watches end.
    """

    def __init__(
        self, names: Collection[str], readiness: Readiness, stopping: asyncio.Event
    ) -> None:
        self._names = names
        self._readiness = readiness
        self._stopping = stopping

    async def Check(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Return the service's status."""
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this server has no such service")
        return _Status(status=status)

    async def Watch(  # noqa: N802 - the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Report the service's status whenever it changes, until the server stops."""
        told: int | None = None
        while True:
            status = self._status(request.service)
            if status != told:
                told = status
                yield _Status(status=status)
                continue  # it may have changed while the reader was slow
            if self._stopping.is_set():
                return
            await self._readiness.changed()

    def _status(self, name: str) -> int:
        if name == LIVENESS:
            return _Status.SERVING
        if name not in self._names:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._readiness.is_ready else _Status.NOT_SERVING
