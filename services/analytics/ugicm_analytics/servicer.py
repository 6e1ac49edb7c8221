"""Translate between the wire and the analyzers, with the decoder's pictures in between."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ParamSpec, TypeVar

from ugicm_analyzers.protocol import Analyzer

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import analytics_pb2_grpc, decoder_pb2, types_pb2
from ugicm_analytics.analysis import Choice, Outcome, run_analyzers
from ugicm_analytics.decoder import DecodedPicture, Decoder
from ugicm_analytics.errors import ResultsNotKept
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analytics.watching import newest_of_each_camera
from ugicm_analytics.wire import analyzer_to_wire, choices_from_wire, result_to_wire
from ugicm_codec.limits import Limits
from ugicm_servicekit.authorisation import check_item
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.clients import pixels_under_way
from ugicm_servicekit.errors import BadRequest, Overloaded, Unreachable
from ugicm_servicekit.flow import in_order
from ugicm_servicekit.logs import about_frame
from ugicm_servicekit.pictures import count_pixels, pixels_from_wire
from ugicm_servicekit.status import failure_of, or_failure
from ugicm_servicekit.tracing import frame_span
from ugicm_servicekit.wire import key_from_wire, view_from_wire
from ugicm_servicekit.work import Workers

__all__ = ["AnalyticsServicer"]

P = ParamSpec("P")
T = TypeVar("T")


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    """``ugicm.v1.AnalyticsService`` over loaded analyzers and a decoder.

    Args:
        analyzers: what can be asked for, by name.
        decoder: where pixels come from.
        workers: threads for analysis.
        limits: on pictures that come with requests.
        decode_seconds: how long the decoder may take for one picture.
        analyze_ahead: how many items of one AnalyzeStream or Watch may be under way.
        stopping: set when calls that last must end.
    """

    def __init__(
        self,
        analyzers: Mapping[str, Analyzer],
        decoder: Decoder,
        workers: Workers,
        *,
        limits: Limits,
        decode_seconds: float,
        analyze_ahead: int,
        stopping: asyncio.Event,
    ) -> None:
        self._analyzers = analyzers
        self._decoder = decoder
        self._workers = workers
        self._limits = limits
        self._decode_seconds = decode_seconds
        self._analyze_ahead = analyze_ahead
        self._stopping = stopping

    async def Analyze(self, request: pb.AnalyzeRequest, context: Any) -> pb.AnalyzeResponse:
        return await self._analyze(request, self._timeout(context))

    async def AnalyzeStream(
        self, request_iterator: AsyncIterator[pb.AnalyzeStreamRequest], context: Any
    ) -> AsyncIterator[pb.AnalyzeStreamResponse]:
        async def answer(item: pb.AnalyzeStreamRequest) -> pb.AnalyzeStreamResponse:
            work = self._analyze(item.request, self._timeout(context))
            outcome = await or_failure(work, ANALYTICS_STATUS, method="AnalyzeStream")
            if isinstance(outcome, types_pb2.Failure):
                return pb.AnalyzeStreamResponse(request_id=item.request_id, failure=outcome)
            return pb.AnalyzeStreamResponse(request_id=item.request_id, response=outcome)

        responses = in_order(
            request_iterator, answer, ahead=self._analyze_ahead, stopping=self._stopping
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def Watch(
        self, request: pb.WatchResultsRequest, context: Any
    ) -> AsyncIterator[pb.WatchResultsResponse]:
        choices = choices_from_wire(request.options, self._analyzers)
        view = view_from_wire(request.options.view)
        answer = functools.partial(self._answer_event, view=view, choices=choices)
        newest = request.mode == types_pb2.WATCH_MODE_NEWEST
        async with self._decoder.watch(_frames_request(request)) as events:
            # Tells the reader that it misses nothing from now on.
            await context.send_initial_metadata(())
            async with aclosing(newest_of_each_camera(events) if newest else events) as chosen:
                responses = in_order(
                    chosen,
                    answer,
                    # A frame that waits for its turn would not be the newest any more.
                    ahead=1 if newest else self._analyze_ahead,
                    stopping=self._stopping,
                )
                async with aclosing(responses):
                    async for response in responses:
                        yield response

    async def ListAnalyzers(
        self, request: pb.ListAnalyzersRequest, context: Any
    ) -> pb.ListAnalyzersResponse:
        return pb.ListAnalyzersResponse(
            analyzers=[analyzer_to_wire(analyzer.info) for analyzer in self._analyzers.values()]
        )

    async def ListResults(
        self, request: pb.ListResultsRequest, context: Any
    ) -> pb.ListResultsResponse:
        raise ResultsNotKept("this server answers with results and does not keep them")

    async def _analyze(
        self, request: pb.AnalyzeRequest, timeout_seconds: float
    ) -> pb.AnalyzeResponse:
        check_item(request)
        choices = choices_from_wire(request.options, self._analyzers)
        source = request.WhichOneof("source")
        if source is None:
            raise BadRequest("a request has a frame's key, a stream or a picture, got none of them")
        if source == "picture":
            if request.options.HasField("view"):
                raise BadRequest("a picture is not decoded and has no view, got one")
            return pb.AnalyzeResponse(analysis=await self._picture(request.picture, choices))
        view = view_from_wire(request.options.view)
        if source == "stream":
            picture = await self._decoder.decode(
                request.stream, view, timeout_seconds=timeout_seconds
            )
            return pb.AnalyzeResponse(analysis=await self._decoded(picture, choices))
        key = key_from_wire(request.key)
        about_frame(key)
        with frame_span("analyze", key):
            picture = await self._decoder.decode(key, view, timeout_seconds=timeout_seconds)
            return pb.AnalyzeResponse(analysis=await self._decoded(picture, choices))

    async def _picture(self, picture: types_pb2.Picture, choices: Sequence[Choice]) -> pb.Analysis:
        def work() -> tuple[tuple[int, ...], list[Outcome]]:
            pixels = pixels_from_wire(picture, self._limits)
            return pixels.shape, run_analyzers(choices, pixels)

        with pixels_under_way(await count_pixels(picture, self._limits)):
            done = await self._workers.timed(work)
        (height, width, _), outcomes = done.value
        return pb.Analysis(
            height=height,
            width=width,
            results=map(result_to_wire, outcomes),
            statistics=pb.AnalyzeStatistics(queue_seconds=done.queue_seconds),
        )

    async def _decoded(self, picture: DecodedPicture, choices: Sequence[Choice]) -> pb.Analysis:
        height, width, _ = picture.pixels.shape
        with pixels_under_way(height * width):
            done = await self._workers.timed(run_analyzers, choices, picture.pixels)
        return pb.Analysis(
            key=picture.key,
            capture_time=picture.capture_time,
            height=height,
            width=width,
            view=picture.view,
            model_sha256=picture.model_sha256,
            results=map(result_to_wire, done.value),
            statistics=pb.AnalyzeStatistics(
                queue_seconds=done.queue_seconds, decode_seconds=picture.seconds
            ),
        )

    async def _answer_event(
        self, event: decoder_pb2.WatchFramesResponse, *, view: float, choices: Sequence[Choice]
    ) -> pb.WatchResultsResponse:
        """Return what became of a frame; raise only what ends the whole watch.

        Raises:
            Unreachable: the decoder went away; the watch goes on from its last cursor.
        """
        response = pb.WatchResultsResponse(cursor=event.cursor)
        if event.WhichOneof("event") == "gap":
            response.gap.CopyFrom(event.gap)
            return response
        key = key_from_wire(event.frame.key)
        about_frame(key)
        try:
            with frame_span("analyze", key):
                picture = await _patiently(
                    self._decoder.decode, key, view, timeout_seconds=self._decode_seconds
                )
                response.analysis.CopyFrom(await _patiently(self._decoded, picture, choices))
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - the outermost layer of an item
            response.failed.key.CopyFrom(event.frame.key)
            failure = failure_of(error, ANALYTICS_STATUS, method="Watch")
            response.failed.failure.CopyFrom(failure)
        return response

    def _timeout(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._decode_seconds if remaining is None else min(remaining, self._decode_seconds)


async def _patiently(work: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Wait wherever others are first: who watches can be late, but misses nothing."""
    backoff = Backoff()
    while True:
        try:
            return await work(*args, **kwargs)
        except Overloaded as error:
            await asyncio.sleep(backoff.next_seconds(at_least=error.retry_after_seconds))


def _frames_request(request: pb.WatchResultsRequest) -> decoder_pb2.WatchFramesRequest:
    """Return what the decoder is asked to report; it refuses what is wrong here."""
    frames = decoder_pb2.WatchFramesRequest(cameras=request.cameras, mode=request.mode)
    if request.WhichOneof("from") == "cursor":
        frames.cursor = request.cursor
    elif request.WhichOneof("from") == "start":
        frames.start = request.start
    return frames
