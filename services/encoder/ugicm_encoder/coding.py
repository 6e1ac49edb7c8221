"""Turn the pictures of requests into streams, off the event loop, one part after the other."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ugicm.v1 import encoder_pb2
from ugicm_codec import Limits
from ugicm_encoder.metrics import ENCODED_BYTES, ENCODED_PICTURES
from ugicm_servicekit.admission import Admission
from ugicm_servicekit.pictures import pixels_from_wire
from ugicm_servicekit.stages import stage

if TYPE_CHECKING:
    from ugicm_codec import Codec

__all__ = ["Coded", "Coder"]

_Value = TypeVar("_Value")

# Beside those being read or coded: one is analysed, and one waits for that.
_BESIDE_THREADS = 2


@dataclass(frozen=True)
class Coded:
    """A stream, and the seconds it took: waiting, reading its picture, coding it."""

    stream: bytes = field(repr=False)
    queue_seconds: float
    picture_seconds: float
    encode_seconds: float


class Coder:
    """Codes pictures: while one is coded the next is analysed, whichever client sent it.

    One is analysed at a time, with all of the processor's cores, and never in a batch: a batch's
    rounding might differ, and a picture that is sent again has to become the same stream.

    Args:
        threads: for reading pictures and for coding what was analysed.
        in_company: how many of one client are worked on at once while others ask too.
        max_queued: how many pictures may wait.
        limits: on pictures.
        default_quality: of requests that name no target.
    """

    def __init__(
        self,
        *,
        threads: int,
        in_company: int,
        max_queued: int,
        limits: Limits,
        default_quality: int,
    ) -> None:
        self._limits = limits
        self._default_quality = default_quality
        self._admission = Admission(
            places=threads + _BESIDE_THREADS,
            in_company=in_company,
            max_queued=max_queued,
            name="encoding",
        )
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="encoding")
        self._analysing = ThreadPoolExecutor(1, thread_name_prefix="analysis")

    @property
    def queue_length(self) -> int:
        """How many pictures wait."""
        return self._admission.queue_length

    async def code(self, codec: Codec, request: encoder_pb2.EncodeRequest) -> Coded:
        """Code the picture of ``request`` for its target.

        Raises:
            CodecError: the picture or the target is out of range.
            BadRequest: the picture names no format.
            Overloaded: the queue is full.
        """
        arrived = time.perf_counter()
        entry = await self._admission.enter()
        entered = time.perf_counter()
        try:
            pixels, reading = await self._part(
                "picture", self._executor, lambda: pixels_from_wire(request.picture, self._limits)
            )
            analysed, analysing = await self._part(
                "analysis", self._analysing, lambda: codec.analyse(pixels)
            )
            stream, coding = await self._part(
                "coding", self._executor, lambda: codec.code(analysed, **self._target(request))
            )
            self._admission.note(time.perf_counter() - entered)
        finally:
            self._admission.leave(entry)
        ENCODED_PICTURES.inc()
        ENCODED_BYTES.inc(len(stream))
        encoding = analysing + coding
        waiting = time.perf_counter() - arrived - reading - encoding
        return Coded(stream, waiting, reading, encoding)

    def close(self) -> None:
        """Wait for the work that runs, and free the threads."""
        self._executor.shutdown()
        self._analysing.shutdown()

    async def _part(
        self, name: str, executor: Executor, function: Callable[[], _Value]
    ) -> tuple[_Value, float]:
        """Return what ``function`` returns in a thread, and the seconds it took there.

        A caller that is cancelled before a thread is free takes its work back.
        """

        def timed() -> tuple[_Value, float]:
            started = time.perf_counter()
            with stage(name):
                value = function()
            return value, time.perf_counter() - started

        return await asyncio.wrap_future(executor.submit(contextvars.copy_context().run, timed))

    def _target(self, request: encoder_pb2.EncodeRequest) -> dict[str, int]:
        if request.WhichOneof("target") == "max_bytes":
            return {"max_bytes": request.max_bytes}
        has_quality = request.WhichOneof("target") == "quality"
        return {"quality": request.quality if has_quality else self._default_quality}
