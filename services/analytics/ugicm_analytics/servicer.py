"""Translate between the wire and the analyzers, with the decoder's pictures in between."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import analytics_pb2_grpc, decoder_pb2, types_pb2
from ugicm_analytics.analysis import Choice, Patience
from ugicm_analytics.decoder import Decoder
from ugicm_analytics.errors import ResultsError, ResultsNotKept
from ugicm_analytics.pictures import Pictures
from ugicm_analytics.results import Place, ResultStore
from ugicm_analytics.results.tokens import read_token, write_token
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analytics.watching import newest_of_each_camera
from ugicm_analytics.wire import (
    analyzer_to_wire,
    cameras_from_wire,
    choices_from_wire,
    missed_to_wire,
    query_from_wire,
)
from ugicm_analyzers.protocol import Analyzer
from ugicm_servicekit.authorisation import check_item
from ugicm_servicekit.errors import BadRequest, Unreachable
from ugicm_servicekit.flow import in_order
from ugicm_servicekit.status import failure_of, or_failure
from ugicm_servicekit.wire import key_from_wire, page_size_from_wire, view_from_wire

__all__ = ["AnalyticsServicer"]


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    """``ugicm.v1.AnalyticsService`` over loaded analyzers, a decoder and a store of results.

    Args:
        analyzers: what can be asked for, by name.
        pictures: looks at them.
        decoder: tells of frames.
        store: has results; None: they are not kept.
        decode_seconds: how long the decoder may take for one picture.
        analyze_ahead: how many items of one AnalyzeStream or Watch may be under way.
        stopping: set when calls that last must end.
    """

    def __init__(
        self,
        analyzers: Mapping[str, Analyzer],
        pictures: Pictures,
        decoder: Decoder,
        store: ResultStore | None,
        *,
        decode_seconds: float,
        analyze_ahead: int,
        stopping: asyncio.Event,
    ) -> None:
        self._analyzers = analyzers
        self._pictures = pictures
        self._decoder = decoder
        self._store = store
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
        store = self._kept_results()
        query, size = query_from_wire(request), page_size_from_wire(request.page_size)
        place = read_token(query, request.page_token)
        after = None if place is None else Place(*place)
        found = await store.pictures(query, after=after, limit=size + 1)
        page = found[:size]
        last = page[-1].place if found[size:] else None
        return pb.ListResultsResponse(
            analyses=[one.analysis for one in page],
            next_page_token=write_token(query, last.captured_ns, last.row) if last else "",
        )

    async def ListMissed(
        self, request: pb.ListMissedRequest, context: Any
    ) -> pb.ListMissedResponse:
        store = self._kept_results()
        cameras, size = cameras_from_wire(request.cameras), page_size_from_wire(request.page_size)
        after, _ = read_token(cameras, request.page_token) or (0, 0)
        found = await store.missed(cameras, after=after, limit=size + 1)
        page = found[:size]
        return pb.ListMissedResponse(
            missed=map(missed_to_wire, page),
            next_page_token=write_token(cameras, page[-1].row) if found[size:] else "",
        )

    def _kept_results(self) -> ResultStore:
        if self._store is None:
            raise ResultsNotKept("this server answers with results and does not keep them")
        return self._store

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
            analysis = await self._pictures.picture(request.picture, choices)
            return pb.AnalyzeResponse(analysis=analysis)
        view = view_from_wire(request.options.view)
        if source == "stream":
            analysis = await self._pictures.stream(
                request.stream, view, choices, timeout_seconds=timeout_seconds
            )
            return pb.AnalyzeResponse(analysis=analysis)
        seen = await self._pictures.frame(
            key_from_wire(request.key),
            view,
            choices,
            timeout_seconds=timeout_seconds,
            patience=Patience.REFUSE,
        )
        await self._pictures.keep(seen)
        return pb.AnalyzeResponse(analysis=seen.answer)

    async def _answer_event(
        self, event: decoder_pb2.WatchFramesResponse, *, view: float, choices: Sequence[Choice]
    ) -> pb.WatchResultsResponse:
        """Return what became of a frame; raise only what ends the whole watch.

        Raises:
            ResultsError: its results cannot be kept; the watch goes on from its last cursor.
            Unreachable: the decoder went away; the same holds.
        """
        response = pb.WatchResultsResponse(cursor=event.cursor)
        if event.WhichOneof("event") == "gap":
            response.gap.CopyFrom(event.gap)
            return response
        try:
            seen = await self._pictures.frame(
                key_from_wire(event.frame.key),
                view,
                choices,
                timeout_seconds=self._decode_seconds,
                patience=Patience.WAIT,
            )
            await self._pictures.keep(seen)
            response.analysis.CopyFrom(seen.answer)
        except (Unreachable, ResultsError):
            raise
        except Exception as error:  # noqa: BLE001 - the outermost layer of an item
            response.failed.key.CopyFrom(event.frame.key)
            failure = failure_of(error, ANALYTICS_STATUS, method="Watch")
            response.failed.failure.CopyFrom(failure)
        return response

    def _timeout(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._decode_seconds if remaining is None else min(remaining, self._decode_seconds)


def _frames_request(request: pb.WatchResultsRequest) -> decoder_pb2.WatchFramesRequest:
    """Return what the decoder is asked to report; it refuses what is wrong here."""
    frames = decoder_pb2.WatchFramesRequest(cameras=request.cameras, mode=request.mode)
    if request.WhichOneof("from") == "cursor":
        frames.cursor = request.cursor
    elif request.WhichOneof("from") == "start":
        frames.start = request.start
    return frames
