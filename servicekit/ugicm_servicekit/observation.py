"""Count, time and trace every call that a server answers, and know which are under way."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from prometheus_client import Counter

from ugicm_servicekit import metrics
from ugicm_servicekit.handlers import Handler, around
from ugicm_servicekit.roles import GRANTS, OPEN
from ugicm_servicekit.tracing import call_span

__all__ = ["CallsUnderWay", "Observation"]

_NAME_OF_CODE = {code.value[0]: code.name for code in grpc.StatusCode}


class CallsUnderWay:
    """How many calls have begun and not ended, health checks left out."""

    def __init__(self) -> None:
        self._count = 0
        self._ended = asyncio.Event()
        self._last_ended = -math.inf

    def begin(self) -> None:
        """Count one more."""
        self._count += 1
        metrics.RPCS_UNDER_WAY.inc()

    def end(self) -> None:
        """Count one less."""
        self._count -= 1
        self._last_ended = time.monotonic()
        metrics.RPCS_UNDER_WAY.dec()
        self._ended.set()

    async def none(self) -> None:
        """Return once none is under way."""
        while self._count:
            self._ended.clear()
            await self._ended.wait()

    async def quiet(self, seconds: float) -> None:
        """Return once none is under way, and none was for so long."""
        while True:
            await self.none()
            left = self._last_ended + seconds - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(left)


class Observation(grpc.aio.ServerInterceptor):
    """The outermost interceptor: sees bytes, and the status that each call ends with.

    Args:
        calls: told of each.
    """

    def __init__(self, calls: CallsUnderWay) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call; health checks come too often to be of interest."""
        handler = await continuation(handler_call_details)
        details: Any = handler_call_details
        if details.method in OPEN:
            return handler
        # Callers choose the names of methods; what is counted has names of ours.
        known = details.method in GRANTS
        method = str(details.method).removeprefix("/") if known else "unknown"
        if handler is None:
            metrics.RPCS.labels(method, grpc.StatusCode.UNIMPLEMENTED.name).inc()
            return None

        @asynccontextmanager
        async def observed(requests: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            status = ""
            self._calls.begin()
            try:
                with call_span(method, dict(details.invocation_metadata)):
                    yield requests
                status = _status(context)
            except Exception:
                status = _status(context, otherwise=grpc.StatusCode.UNKNOWN)
                raise
            finally:
                # Else the client went away, or ran out of time, and the call was cancelled.
                metrics.RPCS.labels(method, status or _status_of_cancelled(context)).inc()
                metrics.RPC_SECONDS.labels(method).observe(time.perf_counter() - started)
                self._calls.end()

        return around(
            handler,
            observed,
            request_deserializer=_counting_received(
                handler.request_deserializer or _as_it_is, metrics.RECEIVED_BYTES.labels(method)
            ),
            request_streaming=handler.request_streaming,
            response_serializer=_counting_sent(
                handler.response_serializer or _as_it_is, metrics.SENT_BYTES.labels(method)
            ),
        )


def _counting_received(parse: Callable[[bytes], Any], received: Counter) -> Callable[[bytes], Any]:
    def counted(data: bytes) -> Any:
        received.inc(len(data))
        return parse(data)

    return counted


def _counting_sent(serialize: Callable[[Any], bytes], sent: Counter) -> Callable[[Any], bytes]:
    def counted(response: Any) -> bytes:
        data = serialize(response)
        sent.inc(len(data))
        return data

    return counted


def _as_it_is(data: bytes) -> bytes:
    return data


def _status(context: Any, otherwise: grpc.StatusCode = grpc.StatusCode.OK) -> str:
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _NAME_OF_CODE[number] if number else otherwise.name


def _status_of_cancelled(context: Any) -> str:
    remaining = context.time_remaining()
    late = remaining is not None and remaining <= 0
    return (grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED).name
