"""Get pixels and news from the decoder service."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc, types_pb2
from ugicm_analytics import errors
from ugicm_codec.limits import Limits
from ugicm_servicekit.decoded import assemble
from ugicm_servicekit.errors import Overloaded, Unreachable
from ugicm_servicekit.pictures import Pixels
from ugicm_servicekit.stages import stage
from ugicm_servicekit.wire import FrameKey, key_to_wire, view_to_wire

__all__ = ["DecodedPicture", "Decoder"]

_ERROR_OF_CODE: Mapping[grpc.StatusCode, type[errors.DecoderError]] = {
    grpc.StatusCode.NOT_FOUND: errors.FrameNotFound,
    grpc.StatusCode.INVALID_ARGUMENT: errors.RequestRefused,
    grpc.StatusCode.DATA_LOSS: errors.StreamDamaged,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotDecodable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.DecoderExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DecoderTooSlow,
    grpc.StatusCode.PERMISSION_DENIED: errors.DecoderDenied,
    grpc.StatusCode.UNAUTHENTICATED: errors.DecoderDenied,
}
# A server that stops in the middle of a call cancels it.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class DecodedPicture:
    """A picture that the decoder made.

    Attributes:
        pixels: ``(H, W, 3)``, RGB.
        view: the view it was decoded for.
        model_sha256: of the model file that made it.
        key: the frame's; None for a stream that the caller brought.
        capture_time: the frame's; None for a stream that the caller brought.
        seconds: from asking for it until it was here.
    """

    pixels: Pixels
    view: float
    model_sha256: str
    key: types_pb2.FrameKey | None
    capture_time: Timestamp | None
    seconds: float


class Decoder:
    """A decoder service at the other end of a channel.

    Args:
        channel: leads to it.
        address: what errors call it.
        limits: bounds on the pictures it may send.
    """

    def __init__(self, channel: grpc.aio.Channel, *, address: str, limits: Limits) -> None:
        self._stub = decoder_pb2_grpc.DecoderServiceStub(channel)
        self._address = address
        self._limits = limits

    async def decode(
        self, source: FrameKey | bytes, view: float, *, timeout_seconds: float
    ) -> DecodedPicture:
        """Return a stored frame or a stream, decoded for a view.

        Raises:
            BadAnswer: the decoder answered against the contract.
            DecoderError: what the decoder refused.
            ImageTooLarge: the picture exceeds the limits.
            Overloaded: the decoder has too much to do.
            Unreachable: no decoder is there.
        """
        request = decoder_pb2.DecodeRequest(
            views=[view_to_wire(view)], format=types_pb2.PIXEL_FORMAT_RGB
        )
        if isinstance(source, bytes):
            request.stream = source
        else:
            request.key.CopyFrom(key_to_wire(source))
        started = time.perf_counter()
        with stage("decode"):
            call = self._stub.Decode(request, timeout=timeout_seconds)
            try:
                with self._own_errors():
                    decoded = await assemble(call, views=[view], limits=self._limits)
            finally:
                call.cancel()
        start = decoded.start
        return DecodedPicture(
            pixels=decoded.images[0],
            view=view,
            model_sha256=start.model_sha256,
            key=start.key if start.HasField("key") else None,
            capture_time=start.capture_time if start.HasField("capture_time") else None,
            seconds=time.perf_counter() - started,
        )

    @asynccontextmanager
    async def watch(
        self, request: decoder_pb2.WatchFramesRequest
    ) -> AsyncIterator[AsyncGenerator[decoder_pb2.WatchFramesResponse, None]]:
        """Subscribe to what is stored; entered once the decoder has begun.

        Raises, also from the events:
            DecoderError: the decoder refused the request.
            Overloaded: the decoder has too much to do.
            Unreachable: no decoder is there, or it went away.
        """
        call = self._stub.Watch(request)
        try:
            # Comes empty, and without an error, where the call has failed.
            await call.initial_metadata()
            with self._own_errors():
                await call.wait_for_connection()
            yield self._events(call)
        finally:
            call.cancel()

    async def _events(
        self, call: AsyncIterable[decoder_pb2.WatchFramesResponse]
    ) -> AsyncGenerator[decoder_pb2.WatchFramesResponse, None]:
        with self._own_errors():
            async for event in call:
                yield event

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Turn the statuses of the decoder's calls into errors."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
            if code in _GONE:
                raise Unreachable(f"the decoder at {self._address} is not available") from error
            retry_after_seconds = _retry_seconds(error)
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_seconds is not None:
                raise Overloaded(details, retry_after_seconds=retry_after_seconds) from error
            raise _ERROR_OF_CODE.get(code, errors.DecoderFailed)(details) from error


def _retry_seconds(error: grpc.aio.AioRpcError) -> float | None:
    """Return when the decoder wants to be asked again; None where waiting does not help."""
    for name, value in error.trailing_metadata():
        if name == "grpc-retry-pushback-ms" and value.isdigit():
            return int(value) / 1000
    return None
