"""Turn the pictures of requests into streams, off the event loop, one part after the other."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ugicm.v1 import encoder_pb2
from ugicm_codec import Limits
from ugicm_codec.threads import CODING_PIXELS, TRANSFORM_PIXELS, at_most, threads_for
from ugicm_encoder.metrics import ENCODED_BYTES, ENCODED_PICTURES
from ugicm_servicekit.admission import Admission
from ugicm_servicekit.pictures import Pixels, pixels_from_wire
from ugicm_servicekit.stages import record_stage, stage

if TYPE_CHECKING:
    from ugicm_codec import Codec
    from ugicm_codec.codec import Analysed
    from ugicm_encoder.processes import CodingProcesses

__all__ = ["Coded", "Coder"]

_Value = TypeVar("_Value")

# Pictures up to this size are coded side by side, each from beginning to end without a change of
# thread. Of larger ones one fills all cores, and takes so much memory that there should not be two.
_SIDE_BY_SIDE_PIXELS = 2**20

# Beside those that threads work on: a large one that is analysed, and one that waits.
_BESIDE_THREADS = 2


@dataclass(frozen=True)
class Coded:
    """A stream, and the seconds it took: waiting, reading its picture, coding it."""

    stream: bytes = field(repr=False)
    queue_seconds: float
    picture_seconds: float
    encode_seconds: float


@dataclass
class _Times:
    """Seconds spent on one request so far, by part."""

    reading: float = 0.0
    encoding: float = 0.0


class Coder:
    """Codes pictures: small ones side by side, large ones in two steps that overlap.

    Python runs one thread at a time. Pictures that are done soon have each other wait for that, and
    are coded in processes where there are some; one alone has it for itself, and stays here.

    They never share a batch: a batch's rounding might differ, and a picture that is sent again has
    to become the same stream.

    Args:
        processes: code pictures that keep one thread busy.
        threads: for reading pictures and for coding what was analysed.
        in_company: how many of one client are worked on at once while others ask too.
        max_queued: how many pictures may wait.
        limits: on pictures.
        default_quality: of requests that name no target.
    """

    def __init__(
        self,
        processes: CodingProcesses,
        *,
        threads: int,
        in_company: int,
        max_queued: int,
        limits: Limits,
        default_quality: int,
    ) -> None:
        # Each process has a thread that waits for it.
        threads = max(threads, processes.count)
        self._processes = processes
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
        times = _Times()
        try:
            stream = await self._stream(codec, request, times)
            self._admission.note(time.perf_counter() - entered)
        finally:
            self._admission.leave(entry)
        ENCODED_PICTURES.inc()
        ENCODED_BYTES.inc(len(stream))
        waiting = time.perf_counter() - arrived - times.reading - times.encoding
        return Coded(stream, waiting, times.reading, times.encoding)

    def close(self) -> None:
        """Wait for the work that runs, and free the threads."""
        self._executor.shutdown()
        self._analysing.shutdown()

    async def _stream(
        self, codec: Codec, request: encoder_pb2.EncodeRequest, times: _Times
    ) -> bytes:
        def read() -> Pixels:
            started = time.perf_counter()
            with stage("picture"):
                pixels = pixels_from_wire(request.picture, self._limits)
            times.reading += time.perf_counter() - started
            return pixels

        def analyse(pixels: Pixels) -> Analysed:
            started = time.perf_counter()
            with stage("analysis"), at_most(threads_for(_area(pixels), TRANSFORM_PIXELS)):
                analysed = codec.analyse(pixels)
            times.encoding += time.perf_counter() - started
            return analysed

        def code(pixels: Pixels, analysed: Analysed) -> bytes:
            started = time.perf_counter()
            with stage("coding"), at_most(threads_for(_area(pixels), CODING_PIXELS)):
                stream = codec.code(analysed, **self._target(request))
            times.encoding += time.perf_counter() - started
            return stream

        def code_elsewhere(pixels: Pixels) -> bytes | None:
            """Return the stream if a process had time for it."""
            is_alone = self._admission.places_taken == 1
            if is_alone or threads_for(_area(pixels), TRANSFORM_PIXELS) > 1:
                return None
            started = time.perf_counter()
            coded = self._processes.encode(codec, pixels, self._target(request))
            if coded is None:
                return None
            record_stage("analysis", coded.began_ns, coded.analysed_ns)
            record_stage("coding", coded.analysed_ns, coded.coded_ns)
            times.encoding += time.perf_counter() - started
            return coded.stream

        given_up = threading.Event()

        def begin() -> tuple[Pixels, bytes | None]:
            """Return the picture, and its stream if it is a small one that is still asked for."""
            pixels = read()
            if _area(pixels) > _SIDE_BY_SIDE_PIXELS or given_up.is_set():
                return pixels, None
            stream = code_elsewhere(pixels)
            if stream is not None:
                return pixels, stream
            analysed = analyse(pixels)
            return pixels, None if given_up.is_set() else code(pixels, analysed)

        try:
            pixels, stream = await _in_thread(self._executor, begin)
        except asyncio.CancelledError:
            given_up.set()
            raise
        if stream is None:
            analysed = await _in_thread(self._analysing, lambda: analyse(pixels))
            stream = await _in_thread(self._executor, lambda: code(pixels, analysed))
        return stream

    def _target(self, request: encoder_pb2.EncodeRequest) -> dict[str, int]:
        if request.WhichOneof("target") == "max_bytes":
            return {"max_bytes": request.max_bytes}
        has_quality = request.WhichOneof("target") == "quality"
        return {"quality": request.quality if has_quality else self._default_quality}


async def _in_thread(executor: Executor, function: Callable[[], _Value]) -> _Value:
    """Return what ``function`` returns in a thread, with the caller's context variables.

    A caller that is cancelled before a thread is free takes its work back.
    """
    context = contextvars.copy_context()
    return await asyncio.wrap_future(executor.submit(context.run, function))


def _area(pixels: Pixels) -> int:
    height, width, _ = pixels.shape
    return height * width
