"""Keep what was taken from a camera until it is answered, so that it can be sent again."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from ugicm.v1 import encoder_pb2
from ugicm_client.errors import ServiceError

__all__ = ["Outbox", "Turn"]


@dataclass
class _Waiting:
    """A request that has no answer yet, and when it was sent first (``time.monotonic``)."""

    request: encoder_pb2.EncodeStreamRequest
    sent_at: float | None = None


class Outbox:
    """The oldest unanswered requests of a source, in its order.

    Args:
        source: read no further than the bound allows.
        most: how many requests may wait for their answers.
    """

    def __init__(
        self, source: AsyncIterable[encoder_pb2.EncodeStreamRequest], *, most: int
    ) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._room = asyncio.Semaphore(most)
        self._has_ended = False
        self._error: Exception | None = None
        # Set when a turn has something to send, or nothing any more.
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read(source))

    @property
    def is_done(self) -> bool:
        """Whether all that the source had is answered."""
        return self._has_ended and not self._waiting

    def check(self) -> None:
        """Raise what the source raised."""
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Stop reading the source."""
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self, source: AsyncIterable[encoder_pb2.EncodeStreamRequest]) -> None:
        requests = aiter(source)
        try:
            while True:
                await self._room.acquire()
                self._waiting.append(_Waiting(await anext(requests)))
                self._news.set()
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - raised in the caller's task by check
            self._error = error
        finally:
            self._has_ended = True
            self._news.set()


class Turn:
    """One call's share of an outbox: everything from the oldest on, until something is put off.

    What comes behind a request that was put off is sent with it in a later turn: sent at once, it
    would overtake it.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._num_sent = 0
        self._num_put_off = 0
        self._is_over = False

    async def requests(self) -> AsyncIterator[encoder_pb2.EncodeStreamRequest]:
        """Yield what is to be sent, as it comes."""
        box = self._outbox
        while not self._num_put_off and not self._is_over:
            if self._num_sent < len(box._waiting):
                waiting = box._waiting[self._num_sent]
                waiting.sent_at = waiting.sent_at or time.monotonic()
                self._num_sent += 1
                yield waiting.request
            elif box._has_ended:
                return
            else:
                box._news.clear()
                await box._news.wait()

    def settle(self, request_id: int) -> tuple[encoder_pb2.EncodeStreamRequest, float]:
        """Take out a request that is answered for good; return it and the seconds that it took.

        Raises:
            ServiceError: another request's answer is due.
        """
        waiting = self._due(request_id)
        del self._outbox._waiting[self._num_put_off]
        self._num_sent -= 1
        self._outbox._room.release()
        assert waiting.sent_at is not None  # it is answered
        return waiting.request, time.monotonic() - waiting.sent_at

    def put_off(self, request_id: int) -> None:
        """Leave a request for a later turn, and send no more in this one.

        Raises:
            ServiceError: another request's answer is due.
        """
        self._due(request_id)
        self._num_put_off += 1
        self._outbox._news.set()

    def end(self) -> None:
        """Send no more, also where gRPC goes on asking."""
        self._is_over = True
        self._outbox._news.set()

    def _due(self, request_id: int) -> _Waiting:
        if self._num_put_off < self._num_sent:
            waiting = self._outbox._waiting[self._num_put_off]
            if waiting.request.request_id == request_id:
                return waiting
        raise ServiceError(f"the encoder answered out of order: {request_id}")
