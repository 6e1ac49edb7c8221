"""Hand frames to the decoder, in order, and learn what became of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder.errors import (
    DeliveryError,
    FrameTaken,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ugicm_servicekit.wire import key_from_wire

__all__ = ["Upstream"]

_Answer: TypeAlias = "asyncio.Future[decoder_pb2.IngestResponse]"
_Exchange: TypeAlias = tuple[decoder_pb2.IngestRequest, _Answer]

_ERROR_OF_CODE: dict[int, type[DeliveryError]] = {
    grpc.StatusCode.ALREADY_EXISTS.value[0]: FrameTaken,
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

    async def deliver(self, frame: types_pb2.Frame) -> None:
        """Return once the decoder has the frame durably.

        Frames arrive in the order of these calls.

        Raises:
            UpstreamUnavailable: the decoder is not there or does not answer.
            FrameTaken: it has other bytes under this key.
            UpstreamRefused: it takes no such frame.
        """
        key = key_from_wire(frame.key)
        if self._link is None or self._link.is_down:
            self._link = _Link(self._stub, self._address)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._link.exchange(decoder_pb2.IngestRequest(frame=frame))
        except TimeoutError as error:
            raise UpstreamUnavailable(
                f"the decoder at {self._address} did not answer for frame {key} "
                f"within {self._timeout_seconds:g} s"
            ) from error
        if response.WhichOneof("outcome") == "failure":
            kind = _ERROR_OF_CODE.get(response.failure.code, UpstreamRefused)
            raise kind(f"the decoder refused frame {key}: {response.failure.message}")

    async def close(self) -> None:
        """End the call; frames without an answer fail as unavailable."""
        if self._link is not None:
            await self._link.close()


class _Link:
    """One Ingest call, whose answers come in the order of its requests."""

    def __init__(self, stub: DecoderServiceStub, address: str) -> None:
        self._address = address
        self._unsent: asyncio.Queue[_Exchange | None] = asyncio.Queue()
        self._unanswered: deque[_Answer] = deque()
        self._call = stub.Ingest(self._requests())
        self._reading = asyncio.create_task(self._read())

    @property
    def is_down(self) -> bool:
        return self._reading.done()

    async def exchange(self, request: decoder_pb2.IngestRequest) -> decoder_pb2.IngestResponse:
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._unsent.put_nowait((request, answer))
        return await answer

    async def close(self) -> None:
        self._call.cancel()
        await asyncio.wait([self._reading])

    async def _requests(self) -> AsyncIterator[decoder_pb2.IngestRequest]:
        while (exchange := await self._unsent.get()) is not None:
            request, answer = exchange
            # Whoever gave up before it was sent has been told that it was not stored.
            if not answer.done():
                self._unanswered.append(answer)
                yield request

    async def _read(self) -> None:
        reason = "it ended the call"
        try:
            async for response in self._call:
                answer = self._unanswered.popleft()
                if not answer.done():
                    answer.set_result(response)
        except grpc.aio.AioRpcError as error:
            reason = error.details() or error.code().name
        except asyncio.CancelledError:
            reason = "the encoder is stopping"
        finally:
            self._fail_waiting(f"the decoder at {self._address} is not available: {reason}")

    def _fail_waiting(self, message: str) -> None:
        waiting = list(self._unanswered)
        while not self._unsent.empty():
            exchange = self._unsent.get_nowait()
            if exchange is not None:
                waiting.append(exchange[1])
        # grpc itself would go on waiting for requests.
        self._unsent.put_nowait(None)
        for answer in waiting:
            if not answer.done():
                answer.set_exception(UpstreamUnavailable(message))
