"""Bring what is spooled to the decoder, in order and once, however often the link breaks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_encoder.errors import (
    EncoderError,
    FrameTooLarge,
    SpoolFailed,
    UpstreamFailed,
    UpstreamUnavailable,
)
from ugicm_encoder.link import Answer, Link
from ugicm_encoder.metrics import FORWARDED
from ugicm_encoder.spool import Spool, SpooledItem
from ugicm_encoder.upstream import refusal
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.logs import about_frame
from ugicm_servicekit.refused_frames import RefusedFrames
from ugicm_servicekit.tracing import record_frame
from ugicm_servicekit.wire import FrameKey, key_from_wire

__all__ = ["Forwarder"]

_log = logging.getLogger(__name__)

# The decoder will say the same of these bytes however often they are sent.
_FINAL = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
    )
)
_TOO_LARGE: int = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
# An item that the decoder breaks on is tried so often before it stops holding up the others.
_MOST_BREAKS = 5


@dataclass(frozen=True)
class _InFlight:
    """An item that was sent, and its answer to come."""

    item: SpooledItem
    answer: Answer
    sent_ns: int


class Forwarder:
    """Sends the oldest items of a spool first, several at once, and removes what is answered.

    Whatever is not answered when the link breaks is sent again from the oldest on: the decoder
    knows what it has.

    Args:
        spool: where items come from.
        open_link: begins a call to the decoder.
        refused: where frames go that the decoder refuses for good.
        ahead: how many items may be on their way at once.
        timeout_seconds: how long the decoder may take to answer for the oldest of them.
        backoff: how long to wait before a link is opened again.
        sleep: waits so many seconds.

    Attributes:
        is_linked: whether the decoder answers, as far as is known.
        max_request_bytes: the largest request that the decoder takes, once it has said so.
        oldest: the item that waits the longest, as of the last look; None where none waits.
    """

    def __init__(
        self,
        spool: Spool,
        open_link: Callable[[], Link],
        refused: RefusedFrames,
        *,
        ahead: int,
        timeout_seconds: float,
        backoff: Backoff,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spool = spool
        self._open_link = open_link
        self._refused = refused
        self._ahead = ahead
        self._timeout_seconds = timeout_seconds
        self._backoff = backoff
        self._sleep = sleep
        self._broke_on = 0
        self._num_breaks = 0
        self.oldest: SpooledItem | None = None
        self.max_request_bytes: int | None = None
        self.is_linked = False

    async def run(self) -> None:
        """Forward until cancelled."""
        while True:
            hint = 0.0
            try:
                await self._forward()
            except (EncoderError, Overloaded) as error:
                if isinstance(error, Overloaded):
                    hint = error.retry_after_seconds
                _log.warning("%d items wait in the spool: %s", self._spool.usage.num_items, error)
            except Exception:  # noqa: BLE001 - the outermost layer of a task that must go on
                _log.exception("forwarding failed")
            await self._sleep(self._backoff.next_seconds(at_least=hint))

    async def _forward(self) -> None:
        """Forward through one link, for as long as it holds."""
        link = self._open_link()
        in_flight: deque[_InFlight] = deque()
        position = 0
        try:
            while True:
                pending = await self._spool.pending(position, self._ahead - len(in_flight))
                position = pending.position
                for item in pending.items:
                    in_flight.append(_InFlight(item, link.send(item.request), time.time_ns()))
                self.oldest = in_flight[0].item if in_flight else None
                if in_flight:
                    await self._settle(in_flight)
                    self.max_request_bytes = link.max_request_bytes
                else:
                    await self._spool.wait_beyond(position)
        finally:
            self.is_linked = False
            await link.close("the encoder ended the call")
            for sent in in_flight:
                if not sent.answer.cancel() and not sent.answer.cancelled():
                    sent.answer.exception()  # told once, by the oldest

    async def _settle(self, in_flight: deque[_InFlight]) -> None:
        """Wait for the oldest answer, and remove all items that are answered by then."""
        oldest = in_flight[0]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await asyncio.wait([oldest.answer])
        except TimeoutError as error:
            raise UpstreamUnavailable(
                f"the decoder did not answer for {_name(oldest.item)} "
                f"within {self._timeout_seconds:g} s"
            ) from error
        settled = []
        try:
            while in_flight and in_flight[0].answer.done():
                sent = in_flight[0]
                try:
                    response = sent.answer.result()
                except FrameTooLarge as error:
                    await self._set_aside(sent.item, _TOO_LARGE, str(error))
                else:
                    await self._take(sent.item, response)
                if sent.item.request.WhichOneof("item") == "frame":
                    record_frame("forward", _key(sent.item), sent.sent_ns)
                settled.append(in_flight.popleft().item.position)
        finally:
            if settled:
                if not self.is_linked:
                    _log.info("the decoder takes frames; %d wait", self._spool.usage.num_items)
                self.is_linked = True
                self._backoff.reset()
                await self._spool.remove(settled)

    async def _take(self, item: SpooledItem, response: decoder_pb2.IngestResponse) -> None:
        """Return if the item needs no further try, and raise why it does."""
        key = _key(item)
        if key_from_wire(response.key) != key:
            raise UpstreamFailed(f"the decoder answered for another frame than {key}")
        if response.WhichOneof("outcome") == "result":
            FORWARDED.labels("stored").inc()
            return
        failure = response.failure
        if failure.code in _FINAL or self._breaks_for_good(item, failure):
            await self._set_aside(item, failure.code, failure.message)
            return
        raise refusal(failure, f"the decoder did not take {_name(item)}")

    async def _set_aside(self, item: SpooledItem, code: int, message: str) -> None:
        about_frame(_key(item))
        FORWARDED.labels("refused").inc()
        _log.error("the decoder refused %s for good: %s", _name(item), message)
        if item.request.WhichOneof("item") == "frame":
            frame = item.request.frame
            try:
                await asyncio.to_thread(self._refused.keep, frame, code, message)
            except OSError as error:
                raise SpoolFailed(f"cannot keep the refused {_name(item)}: {error}") from error

    def _breaks_for_good(self, item: SpooledItem, failure: types_pb2.Failure) -> bool:
        if failure.code != grpc.StatusCode.INTERNAL.value[0]:
            return False
        if item.position != self._broke_on:
            self._broke_on, self._num_breaks = item.position, 0
        self._num_breaks += 1
        return self._num_breaks >= _MOST_BREAKS


def _key(item: SpooledItem) -> FrameKey:
    """Return the key that the decoder answers with."""
    request = item.request
    if request.WhichOneof("item") == "gap":
        return FrameKey(request.gap.camera, request.gap.epoch, request.gap.first_sequence)
    return key_from_wire(request.frame.key)


def _name(item: SpooledItem) -> str:
    return f"{item.request.WhichOneof('item')} {_key(item)}"
