"""Call the services behind the console, each time as the user for whom it is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from ugicm.v1 import (
    analytics_pb2,
    analytics_pb2_grpc,
    decoder_pb2,
    decoder_pb2_grpc,
    encoder_pb2,
    encoder_pb2_grpc,
)
from ugicm_console import errors
from ugicm_console.sessions import Session
from ugicm_servicekit.authorisation import METADATA_KEY, SCHEME
from ugicm_servicekit.errors import NotPermitted, Overloaded, Unreachable

__all__ = ["Service", "Services", "analytics_at", "decoder_at", "encoder_at"]

_ERROR_OF_CODE: Mapping[grpc.StatusCode, type[Exception]] = {
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: errors.RequestRefused,
    grpc.StatusCode.DATA_LOSS: errors.StreamDamaged,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotPossible,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotPossible,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ServiceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.ServiceTooSlow,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.UNAUTHENTICATED: errors.SessionExpired,
}
# A server that stops in the middle of a call cancels it.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Service:
    """One service at the other end of a channel.

    Args:
        name: ``decoder``, ``encoder`` or ``analytics``.
        address: of it, for people.
        channel: to it, without a token of its own.
        stub: the generated one, over the channel.
        full_name: such as ``ugicm.v1.DecoderService``.
        timeout_seconds: for one call that ends.
    """

    def __init__(
        self,
        name: str,
        address: str,
        channel: grpc.aio.Channel,
        stub: Any,
        full_name: str,
        *,
        timeout_seconds: float,
    ) -> None:
        self.name = name
        self.address = address
        self.channel = channel
        self._stub = stub
        self._full_name = full_name
        self._timeout_seconds = timeout_seconds

    async def ask(self, session: Session, method: str, request: Any) -> Any:
        """Return the one answer to one request.

        Raises:
            NotPermitted: the session's role does not allow it.
            SessionExpired: the service does not know the session's token any more.
            ServiceError: the service refuses.
            Overloaded: it has too much to do.
            Unreachable: it is not there.
        """
        with self._own_errors():
            return await self._begin(session, method, request, self._timeout_seconds)

    @asynccontextmanager
    async def answers(
        self, session: Session, method: str, request: Any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Make a call that answers in parts and ends; leaving the block cancels it.

        The answers raise what ``ask`` does.
        """
        call = self._begin(session, method, request, self._timeout_seconds)
        try:
            yield self._parts(call)
        finally:
            call.cancel()

    @asynccontextmanager
    async def events(
        self, session: Session, method: str, request: Any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Make a call that goes on; entered once the service has begun it, or has refused.

        The events raise what ``ask`` does.
        """
        call = self._begin(session, method, request, None)
        try:
            # A refusal shows at the first event.
            await call.initial_metadata()
            yield self._parts(call)
        finally:
            call.cancel()

    async def _parts(self, call: Any) -> AsyncIterator[Any]:
        with self._own_errors():
            async for part in call:
                yield part

    def _begin(
        self, session: Session, method: str, request: Any, timeout_seconds: float | None
    ) -> Any:
        session.check(f"/{self._full_name}/{method}", request)
        secret = session.secret
        metadata = () if secret is None else ((METADATA_KEY, SCHEME + secret),)
        return getattr(self._stub, method)(request, metadata=metadata, timeout=timeout_seconds)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Turn the statuses of the service's calls into errors."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
            if code in _GONE:
                raise Unreachable(f"the {self.name} at {self.address} is not available") from error
            seconds = _retry_seconds(error)
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED and seconds is not None:
                raise Overloaded(details, retry_after_seconds=seconds) from error
            kind = _ERROR_OF_CODE.get(code, errors.ServiceFailed)
            raise kind(details or f"the {self.name} answered {code.name}") from error


@dataclass(frozen=True)
class Services:
    """The services that the settings name."""

    decoder: Service
    encoder: Service | None
    analytics: Service | None

    def named(self) -> dict[str, Service | None]:
        """Return all there may be, by name; None: not configured."""
        return {"decoder": self.decoder, "encoder": self.encoder, "analytics": self.analytics}

    def need_encoder(self) -> Service:
        """Return the encoder.

        Raises:
            NotConfigured: there is none.
        """
        if self.encoder is None:
            raise errors.NotConfigured("this console has no encoder to upload to")
        return self.encoder

    def need_analytics(self) -> Service:
        """Return analytics.

        Raises:
            NotConfigured: there is none.
        """
        if self.analytics is None:
            raise errors.NotConfigured("this console has no analytics to ask")
        return self.analytics


def decoder_at(address: str, channel: grpc.aio.Channel, *, timeout_seconds: float) -> Service:
    """Return the decoder behind a channel."""
    name = decoder_pb2.DESCRIPTOR.services_by_name["DecoderService"].full_name
    stub = decoder_pb2_grpc.DecoderServiceStub(channel)
    return Service("decoder", address, channel, stub, name, timeout_seconds=timeout_seconds)


def encoder_at(address: str, channel: grpc.aio.Channel, *, timeout_seconds: float) -> Service:
    """Return the encoder behind a channel."""
    name = encoder_pb2.DESCRIPTOR.services_by_name["EncoderService"].full_name
    stub = encoder_pb2_grpc.EncoderServiceStub(channel)
    return Service("encoder", address, channel, stub, name, timeout_seconds=timeout_seconds)


def analytics_at(address: str, channel: grpc.aio.Channel, *, timeout_seconds: float) -> Service:
    """Return analytics behind a channel."""
    name = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"].full_name
    stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
    return Service("analytics", address, channel, stub, name, timeout_seconds=timeout_seconds)


def _retry_seconds(error: grpc.aio.AioRpcError) -> float | None:
    """Return when the service wants to be asked again; None where waiting does not help."""
    for name, value in error.trailing_metadata():
        if name == "grpc-retry-pushback-ms" and value.isdigit():
            return int(value) / 1000
    return None
