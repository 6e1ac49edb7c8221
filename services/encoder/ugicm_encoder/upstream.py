"""Hand frames to the decoder, in order, and learn what became of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder.errors import (
    DeliveryError,
    FrameDamaged,
    FrameRefused,
    FrameTaken,
    UpstreamFailed,
    UpstreamFull,
    UpstreamUnavailable,
)
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.wire import key_from_wire

__all__ = ["Upstream"]

_ERROR_OF_CODE: dict[int, type[DeliveryError]] = {
    grpc.StatusCode.ALREADY_EXISTS.value[0]: FrameTaken,
    grpc.StatusCode.DATA_LOSS.value[0]: FrameDamaged,
    grpc.StatusCode.INVALID_ARGUMENT.value[0]: FrameRefused,
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: UpstreamFull,
    grpc.StatusCode.UNAVAILABLE.value[0]: UpstreamUnavailable,
}


class Upstream:
    """The decoder behind a channel; frames go through one Ingest call, opened when needed.

    Args:
        channel: to the decoder.
        address: of the decoder, for messages.
        timeout_seconds: how long storing one frame may take.
    """

    def __init__(self, channel: grpc.aio.Channel, address: str, *, timeout_seconds: float) -> None:
        self._stub = DecoderServiceStub(channel)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._link: _Link | None = None

    async def deliver(self, frame: types_pb2.Frame) -> decoder_pb2.IngestResult.ValueType:
        """Return once the decoder has the frame durably, and whether it had it before.

        Frames arrive in the order of these calls.

        Raises:
            DeliveryError: the decoder is not there, does not answer, or did not store the frame.
            Overloaded: it has no room now.
        """
        key = key_from_wire(frame.key)
        if self._link is None or self._link.is_down:
            self._link = _Link(self._stub, self._address)
        link = self._link
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await link.exchange(decoder_pb2.IngestRequest(frame=frame))
        except TimeoutError as error:
            # A call that stalls holds what was sent; the next frame opens a fresh one.
            await link.close("it did not answer in time")
            raise UpstreamUnavailable(
                f"the decoder at {self._address} did not answer for frame {key} "
                f"within {self._timeout_seconds:g} s"
            ) from error
        if response.WhichOneof("outcome") == "failure":
            raise _error_of(response.failure, f"the decoder refused frame {key}")
        return response.result

    async def close(self) -> None:
        """End the call; frames without an answer fail as unavailable."""
        if self._link is not None:
            await self._link.close("the encoder is stopping")


def _error_of(failure: types_pb2.Failure, what: str) -> Exception:
    message = f"{what}: {failure.message}"
    kind = _ERROR_OF_CODE.get(failure.code, UpstreamFailed)
    if kind is UpstreamFull and failure.HasField("retry_after_seconds"):
        return Overloaded(message, retry_after_seconds=failure.retry_after_seconds)
    return kind(message)


@dataclass(frozen=True, eq=False)
class _Exchange:
    """A request, and its answer to come."""

    request: decoder_pb2.IngestRequest
    answer: asyncio.Future[decoder_pb2.IngestResponse]


class _Link:
    """One Ingest call, whose answers come in the order of its requests."""

    def __init__(self, stub: DecoderServiceStub, address: str) -> None:
        self._address = address
        self._unsent: deque[_Exchange] = deque()
        self._unanswered: deque[asyncio.Future[decoder_pb2.IngestResponse]] = deque()
        # Set when there is something to send, or nothing any more.
        self._news = asyncio.Event()
        self._reason = "it ended the call"
        self.is_down = False
        self._call = stub.Ingest(self._requests())
        self._reading = asyncio.create_task(self._read())

    async def exchange(self, request: decoder_pb2.IngestRequest) -> decoder_pb2.IngestResponse:
        exchange = _Exchange(request, asyncio.get_running_loop().create_future())
        self._unsent.append(exchange)
        self._news.set()
        try:
            return await exchange.answer
        finally:
            # Whoever gives up before it is sent is told that it was not stored.
            if exchange in self._unsent:
                self._unsent.remove(exchange)

    async def close(self, reason: str) -> None:
        self.is_down = True
        self._reason = reason
        self._call.cancel()
        await asyncio.wait([self._reading])

    async def _requests(self) -> AsyncIterator[decoder_pb2.IngestRequest]:
        # Once it is down, grpc itself would go on waiting for requests.
        while await self._news.wait() and not self.is_down:
            self._news.clear()
            while self._unsent:
                exchange = self._unsent.popleft()
                self._unanswered.append(exchange.answer)
                yield exchange.request

    async def _read(self) -> None:
        try:
            async for response in self._call:
                answer = self._unanswered.popleft()
                if not answer.done():
                    answer.set_result(response)
        except grpc.aio.AioRpcError as error:
            self._reason = error.details() or error.code().name
        except asyncio.CancelledError:
            pass  # by close, or with the event loop
        finally:
            self.is_down = True
            self._news.set()
            message = f"the decoder at {self._address} is not available: {self._reason}"
            for answer in (*self._unanswered, *(exchange.answer for exchange in self._unsent)):
                if not answer.done():
                    answer.set_exception(UpstreamUnavailable(message))
