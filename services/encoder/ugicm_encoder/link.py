"""One Ingest call to the decoder, whose answers come in the order of its requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from ugicm.v1 import decoder_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder.errors import UpstreamUnavailable

__all__ = ["Answer", "Link"]

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
    """

    def __init__(self, stub: DecoderServiceStub, address: str) -> None:
        self._address = address
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
                exchange = self._unsent.popleft()
                if exchange.answer.cancelled():
                    continue
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
            for answer in (*self._unanswered, *(exchange.answer for exchange in self._unsent)):
                if not answer.done():
                    answer.set_exception(self._unavailable())
