"""One Ingest call to the decoder, whose answers come in the order of its requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from ugicm.v1 import decoder_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder.errors import FrameTooLarge, UpstreamUnavailable
from ugicm_servicekit.wire import MAX_MESSAGE_BYTES_KEY

__all__ = ["Answer", "Link"]

# The least that any decoder takes; what is larger waits until it has said what it takes.
_ALWAYS_TAKEN_BYTES = 2**21

Answer = asyncio.Future[decoder_pb2.IngestResponse]


@dataclass(frozen=True, eq=False)
class _Exchange:
    """A request, and its answer to come."""

    request: decoder_pb2.IngestRequest
    answer: Answer


class Link:
    """A call that begins at once; after ``close``, or once it ended, a new one is needed.

    Args:
        stub: of the decoder.
        address: of the decoder, for messages.
        max_request_bytes: the largest message that the channel sends.

    Attributes:
        is_down: whether it ended.
        max_request_bytes: the same or, once the decoder has said so, what it takes if that is less.
    """

    def __init__(self, stub: DecoderServiceStub, address: str, *, max_request_bytes: int) -> None:
        self._address = address
        self.max_request_bytes = max_request_bytes
        # Set once the decoder has said what it takes, or there is nothing to hear any more.
        self._told = asyncio.Event()
        self._unsent: deque[_Exchange] = deque()
        self._unanswered: deque[Answer] = deque()
        # Set when there is something to send, or nothing any more.
        self._news = asyncio.Event()
        self._reason = "it ended the call"
        self.is_down = False
        self._call = stub.Ingest(self._requests())
        self._reading = asyncio.create_task(self._read())

    def send(self, request: decoder_pb2.IngestRequest) -> Answer:
        """Return the answer to come; it fails with ``UpstreamUnavailable`` if the call ends.

        It fails with ``FrameTooLarge`` where the request is larger than the decoder takes, and the
        call goes on.

        An answer that is cancelled before its request was sent takes the request back.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        if self.is_down:
            answer.set_exception(self._unavailable())
            return answer
        exchange = _Exchange(request, answer)
        self._unsent.append(exchange)
        answer.add_done_callback(lambda _: self._take_back(exchange))
        self._news.set()
        return answer

    async def close(self, reason: str) -> None:
        """End the call; requests without an answer fail."""
        self.is_down = True
        self._reason = reason
        self._call.cancel()
        await asyncio.wait([self._reading])

    def _take_back(self, exchange: _Exchange) -> None:
        if exchange in self._unsent:
            self._unsent.remove(exchange)

    def _unavailable(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"the decoder at {self._address} is not available: {self._reason}"
        )

    async def _requests(self) -> AsyncIterator[decoder_pb2.IngestRequest]:
        # Once it is down, grpc itself would go on waiting for requests.
        while await self._news.wait() and not self.is_down:
            self._news.clear()
            while self._unsent:
                exchange = self._unsent[0]
                num_bytes = exchange.request.ByteSize()
                if num_bytes > _ALWAYS_TAKEN_BYTES:
                    await self._told.wait()
                if self.is_down:
                    return
                if exchange.answer.cancelled():
                    self._take_back(exchange)  # its callback may come after this
                    continue
                self._unsent.popleft()
                if num_bytes > self.max_request_bytes:
                    exchange.answer.set_exception(
                        FrameTooLarge(
                            f"the decoder at {self._address} takes at most "
                            f"{self.max_request_bytes} bytes at once, the frame has {num_bytes}"
                        )
                    )
                    continue
                self._unanswered.append(exchange.answer)
                yield exchange.request

    async def _read(self) -> None:
        try:
            self._hear(await self._call.initial_metadata())
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
            self._told.set()
            self._news.set()
            for answer in (*self._unanswered, *(exchange.answer for exchange in self._unsent)):
                if not answer.done():
                    answer.set_exception(self._unavailable())

    def _hear(self, metadata: grpc.aio.Metadata) -> None:
        said = str(metadata.get(MAX_MESSAGE_BYTES_KEY, ""))
        if said.isascii() and said.isdigit():
            self.max_request_bytes = min(self.max_request_bytes, int(said))
        self._told.set()
