"""Hold each client to its share: of calls, of pixels, and of time to send a request."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from ugicm_servicekit.calls import current_call
from ugicm_servicekit.errors import BadRequest, Overloaded, TooSlow
from ugicm_servicekit.handlers import Handler, around
from ugicm_servicekit.roles import OPEN

__all__ = ["Clients", "Shares", "client_name", "pixels_under_way"]

# Until one of a client's own calls ends; nobody knows better.
_RETRY_SECONDS = 1.0


@dataclass
class _Client:
    """What one client has under way, and may have."""

    name: str
    max_calls: int
    max_pixels: int
    calls: int = 0
    pixels: int = 0


@dataclass(eq=False)
class _Holding:
    """Pixels that one call has under way."""

    pixels: int


@dataclass
class _Call:
    """One of a client's calls, and what it has under way."""

    client: _Client
    holdings: set[_Holding] = field(default_factory=set)

    def hold(self, pixels: int) -> _Holding:
        holding = _Holding(pixels)
        self.holdings.add(holding)
        self.client.pixels += pixels
        return holding

    def give_back(self, *holdings: _Holding) -> None:
        """Give back what was not given back before."""
        for holding in self.holdings.intersection(holdings):
            self.holdings.remove(holding)
            self.client.pixels -= holding.pixels


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("ugicm_call", default=None)


def client_name() -> str:
    """Return the client that the running task works for: its token's name, or else its host."""
    call = _call.get()
    return "" if call is None else call.client.name


@contextmanager
def pixels_under_way(pixels: int) -> Iterator[None]:
    """Count ``pixels`` on the running call's client while they are worked on, or kept for it.

    A picture beyond the limit passes where it is the client's only one. The call's end gives back
    what it still has: answers that nobody took need not be looked for.

    Raises:
        Overloaded: the client has too many under way already.
    """
    call = _call.get()
    if call is None:
        yield
        return
    client = call.client
    if client.pixels and client.pixels + pixels > client.max_pixels:
        raise Overloaded(
            f"{client.name} has {client.pixels} pixels under way, {pixels} more exceed "
            f"{client.max_pixels}",
            retry_after_seconds=_RETRY_SECONDS,
        )
    holding = call.hold(pixels)
    try:
        yield
    finally:
        call.give_back(holding)


class Clients:
    """Everyone who has calls under way.

    Args:
        max_calls: of one client.
        max_calls_in_all: of all clients together.
        max_pixels: of one client.
    """

    def __init__(self, *, max_calls: int, max_calls_in_all: int, max_pixels: int) -> None:
        self._max_calls = max_calls
        self._max_calls_in_all = max_calls_in_all
        self._max_pixels = max_pixels
        self._calls = 0
        self._clients: dict[str, _Client] = {}

    def of_another_kind(self) -> Clients:
        """Return the same limits for calls that take nothing from these."""
        return Clients(
            max_calls=self._max_calls,
            max_calls_in_all=self._max_calls_in_all,
            max_pixels=self._max_pixels,
        )

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Let the running task make one of the client's calls.

        Raises:
            Overloaded: the client, or all together, make too many already.
        """
        if self._calls >= self._max_calls_in_all:
            raise Overloaded(
                f"{self._calls} calls are under way already, the most allowed",
                retry_after_seconds=_RETRY_SECONDS,
            )
        client = self._clients.setdefault(name, _Client(name, self._max_calls, self._max_pixels))
        if client.calls >= client.max_calls:
            raise Overloaded(
                f"{name} has {client.calls} calls under way already, the most allowed",
                retry_after_seconds=_RETRY_SECONDS,
            )
        client.calls += 1
        self._calls += 1
        call, before = _Call(client), _call.get()
        _call.set(call)
        try:
            yield
        finally:
            _call.set(before)
            call.give_back(*call.holdings)
            client.calls -= 1
            self._calls -= 1
            if not client.calls:
                del self._clients[name]


class Shares(grpc.aio.ServerInterceptor):
    """Ends calls beyond their client's share, and those whose request comes too slowly.

    Handlers of one request are turned into handlers of a stream of one: only so can a call be
    refused, or given up, before its request has been received.

    Health checks, which anybody may ask for, have shares of their own: no flood of them, and none
    of the others, keeps out the other.

    Args:
        clients: whose calls are counted.
        request_seconds: how long the request of a call may take; streams of them may take for ever.
    """

    def __init__(self, clients: Clients, *, request_seconds: float) -> None:
        self._clients = clients
        self._probes = clients.of_another_kind()
        self._request_seconds = request_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        clients = self._probes if str(handler_call_details.method) in OPEN else self._clients
        streaming = handler.request_streaming

        @asynccontextmanager
        async def share(requests: Any, context: Any) -> AsyncIterator[Any]:
            call = current_call()
            with clients.call(call.caller or _host(call.peer)):
                yield requests if streaming else await self._one(requests)

        return around(
            handler,
            share,
            request_deserializer=handler.request_deserializer,
            request_streaming=True,
        )

    async def _one(self, requests: Any) -> Any:
        try:
            async with asyncio.timeout(self._request_seconds):
                return await anext(requests)
        except TimeoutError:
            raise TooSlow(
                f"the request did not arrive within {self._request_seconds:g} s"
            ) from None
        except StopAsyncIteration:
            raise BadRequest("the call ended before its request") from None


def _host(peer: str) -> str:
    """Return a peer's address without its port: more connections make no more clients."""
    return peer.rpartition(":")[0] or peer
