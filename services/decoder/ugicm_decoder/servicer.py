"""Translate between the wire and the decoder's store and codecs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc, types_pb2
from ugicm_codec import Limits, inspect
from ugicm_decoder import cursors, metrics, wire
from ugicm_decoder.renderer import Renderer, Source
from ugicm_decoder.rendering import Order, Rendered, Rendering, order_from_wire
from ugicm_decoder.status import DECODER_STATUS
from ugicm_decoder.store import FrameRecord, FrameStore, Gap, PutOutcome
from ugicm_decoder.watching import Read, Watched, read_every, read_newest, watch
from ugicm_servicekit.authorisation import check_item
from ugicm_servicekit.clients import pixels_under_way
from ugicm_servicekit.errors import BadRequest, Overloaded
from ugicm_servicekit.flow import in_order
from ugicm_servicekit.logs import about_frame
from ugicm_servicekit.models import Models
from ugicm_servicekit.stages import stage
from ugicm_servicekit.status import failure_of, or_failure
from ugicm_servicekit.streams import stream_info_to_wire
from ugicm_servicekit.tracing import frame_span
from ugicm_servicekit.wire import (
    MAX_MESSAGE_BYTES_KEY,
    key_from_wire,
    key_to_wire,
    nanoseconds_to_wire,
    page_size_from_wire,
)

__all__ = ["DecoderServicer"]

# As the contract says.
_CHUNK_BYTES = 2**20

_INGEST_RESULT = {
    PutOutcome.STORED: decoder_pb2.INGEST_RESULT_STORED,
    PutOutcome.DUPLICATE: decoder_pb2.INGEST_RESULT_DUPLICATE,
}
_READ_OF_MODE: Mapping[int, Read] = {
    types_pb2.WATCH_MODE_EVERY: read_every,
    types_pb2.WATCH_MODE_NEWEST: read_newest,
}


@dataclass(frozen=True)
class _Begun:
    """A request whose first picture is rendered.

    Attributes:
        parts: the answer.
        share: what the client has under way of it, until its last part is sent.
    """

    parts: AsyncGenerator[decoder_pb2.DecodeResponse]
    share: ExitStack


class DecoderServicer(decoder_pb2_grpc.DecoderServiceServicer):
    """``ugicm.v1.DecoderService`` over a frame store and loaded models.

    Args:
        models: what can decode.
        store: where frames are kept.
        renderer: turns streams into pictures.
        limits: on the pictures of streams.
        ingest_ahead: how many items of one Ingest may be under way.
        decode_ahead: how many items of one DecodeStream may be under way.
        max_views: how many views one request may name.
        max_message_bytes: the largest message that the server accepts.
        stopping: set when calls that last must end.
    """

    def __init__(
        self,
        models: Models,
        store: FrameStore,
        renderer: Renderer,
        *,
        limits: Limits,
        ingest_ahead: int,
        decode_ahead: int,
        max_views: int,
        max_message_bytes: int,
        stopping: asyncio.Event,
    ) -> None:
        self._models = models
        self._store = store
        self._renderer = renderer
        self._limits = limits
        self._ingest_ahead = ingest_ahead
        self._decode_ahead = decode_ahead
        self._max_views = max_views
        self._max_message_bytes = max_message_bytes
        self._stopping = stopping

    async def Ingest(
        self, request_iterator: AsyncIterator[decoder_pb2.IngestRequest], context: Any
    ) -> AsyncIterator[decoder_pb2.IngestResponse]:
        # At once: gRPC ends the call at a larger request, and would take this for its beginning.
        limit = str(self._max_message_bytes)
        await context.send_initial_metadata(((MAX_MESSAGE_BYTES_KEY, limit),))
        responses = in_order(
            request_iterator, self._ingest, ahead=self._ingest_ahead, stopping=self._stopping
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def Decode(
        self, request: decoder_pb2.DecodeRequest, context: Any
    ) -> AsyncIterator[decoder_pb2.DecodeResponse]:
        # Nothing is sent before the first picture: clients repeat calls that fail until then.
        begun = await self._begin(request)
        with begun.share:
            async with aclosing(begun.parts) as parts:
                async for part in parts:
                    yield part

    async def DecodeStream(
        self, request_iterator: AsyncIterator[decoder_pb2.DecodeStreamRequest], context: Any
    ) -> AsyncIterator[decoder_pb2.DecodeStreamResponse]:
        # Items are worked on ahead up to their first picture; the others wait for the reader.
        items = in_order(
            request_iterator, self._begin_ahead, ahead=self._decode_ahead, stopping=self._stopping
        )
        async with aclosing(items):
            async for item, ahead in items:
                number = item.request_id
                # A task of its own, as it would have had: what it logs is about its frame.
                begun = (
                    await asyncio.create_task(self._begin_item(item)) if ahead is None else ahead
                )
                if isinstance(begun, types_pb2.Failure):
                    yield decoder_pb2.DecodeStreamResponse(request_id=number, failure=begun)
                    continue
                try:
                    with begun.share:
                        async with aclosing(begun.parts) as parts:
                            async for part in parts:
                                yield decoder_pb2.DecodeStreamResponse(
                                    request_id=number, response=part
                                )
                except Exception as error:  # noqa: BLE001 - the outermost layer of an item
                    failure = failure_of(error, DECODER_STATUS, method="DecodeStream")
                    yield decoder_pb2.DecodeStreamResponse(request_id=number, failure=failure)

    async def GetFrame(
        self, request: decoder_pb2.GetFrameRequest, context: Any
    ) -> decoder_pb2.GetFrameResponse:
        key = key_from_wire(request.key)
        about_frame(key)
        frame = await self._store.get(key)
        return decoder_pb2.GetFrameResponse(frame=wire.frame_to_wire(frame))

    async def ListCameras(
        self, request: decoder_pb2.ListCamerasRequest, context: Any
    ) -> decoder_pb2.ListCamerasResponse:
        size = page_size_from_wire(request.page_size)
        after = cursors.camera_from_token(request.page_token)
        found = await self._store.cameras(after=after, limit=size + 1)
        page = found[:size]
        return decoder_pb2.ListCamerasResponse(
            cameras=[wire.camera_to_wire(camera) for camera in page],
            next_page_token=cursors.camera_to_token(page[-1].name) if found[size:] else "",
        )

    async def ListFrames(
        self, request: decoder_pb2.ListFramesRequest, context: Any
    ) -> decoder_pb2.ListFramesResponse:
        size = page_size_from_wire(request.page_size)
        query = wire.query_from_wire(request)
        after = cursors.key_from_token(query, request.page_token)
        found = await self._store.frames(query, after=after, limit=size + 1)
        page = found[:size]
        return decoder_pb2.ListFramesResponse(
            frames=[self._stored_frame(record) for record in page],
            next_page_token=cursors.key_to_token(query, page[-1].key) if found[size:] else "",
        )

    async def Watch(
        self, request: decoder_pb2.WatchFramesRequest, context: Any
    ) -> AsyncIterator[decoder_pb2.WatchFramesResponse]:
        watch = await self._watch(request)
        # Tells the reader that it misses nothing from now on.
        await context.send_initial_metadata(())
        async with aclosing(watch):
            async for seen in watch:
                yield self._watch_response(seen)

    async def ListModels(
        self, request: types_pb2.ListModelsRequest, context: Any
    ) -> types_pb2.ListModelsResponse:
        return self._models.to_wire()

    async def _ingest(self, request: decoder_pb2.IngestRequest) -> decoder_pb2.IngestResponse:
        is_gap = request.WhichOneof("item") == "gap"
        key = wire.first_key_of_gap(request.gap) if is_gap else request.frame.key
        response = decoder_pb2.IngestResponse(key=key)
        try:
            check_item(request)
            about_frame(key_from_wire(key))
            with frame_span("ingest", key_from_wire(key)):
                if is_gap:
                    outcome = await self._put_gap(request.gap)
                    response.decodable = True
                else:
                    outcome, response.decodable = await self._put_frame(request.frame)
            response.result = _INGEST_RESULT[outcome]
        except Exception as error:  # noqa: BLE001 - the outermost layer of an item
            response.failure.CopyFrom(failure_of(error, DECODER_STATUS, method="Ingest"))
        return response

    async def _put_gap(self, message: types_pb2.Gap) -> PutOutcome:
        with stage("commit"):
            outcome = await self._store.put_gap(wire.gap_from_wire(message))
        metrics.INGESTED.labels("gap", outcome.value).inc()
        return outcome

    async def _put_frame(self, message: types_pb2.Frame) -> tuple[PutOutcome, bool]:
        frame = wire.frame_from_wire(message, self._limits)
        with stage("commit"):
            outcome = await self._store.put(frame)
        metrics.INGESTED.labels("frame", outcome.value).inc()
        if outcome is PutOutcome.STORED:
            metrics.INGESTED_BYTES.inc(len(frame.stream))
        return outcome, self._models.decodes(frame.info.latents_id)

    async def _begin_ahead(
        self, item: decoder_pb2.DecodeStreamRequest
    ) -> tuple[decoder_pb2.DecodeStreamRequest, _Begun | types_pb2.Failure | None]:
        """Begin an item before its turn; None: there is no room for more than the items before it.

        It fails for lack of room in its turn only: a stream must not be refused for what it has
        itself under way, and an item that waited for room here could keep it from those before it.
        """
        try:
            return item, await self._begin(item.request)
        except Overloaded:
            return item, None
        except Exception as error:  # noqa: BLE001 - the outermost layer of an item
            return item, failure_of(error, DECODER_STATUS, method="DecodeStream")

    async def _begin_item(
        self, item: decoder_pb2.DecodeStreamRequest
    ) -> _Begun | types_pb2.Failure:
        work = self._begin(item.request)
        return await or_failure(work, DECODER_STATUS, method="DecodeStream")

    async def _begin(self, request: decoder_pb2.DecodeRequest) -> _Begun:
        check_item(request)
        if request.WhichOneof("source") != "key":
            return await self._begun(request)
        key = key_from_wire(request.key)
        about_frame(key)
        with frame_span("decode", key):
            return await self._begun(request)

    async def _begun(self, request: decoder_pb2.DecodeRequest) -> _Begun:
        order = order_from_wire(request, max_views=self._max_views)
        self._renderer.check_room()
        start, stream = await self._source(request)
        codec = self._models.decoding(start.info.latents_id, request.model)
        start.model = codec.model.name
        start.model_sha256 = codec.model.sha256
        source = Source(codec, stream, start.info.height * start.info.width)
        rendering = Rendering(self._renderer, source, order)
        with ExitStack() as share:
            share.enter_context(pixels_under_way(source.pixels))
            parts = _parts(start, rendering, await rendering.first())
            return _Begun(parts, share.pop_all())

    async def _source(
        self, request: decoder_pb2.DecodeRequest
    ) -> tuple[decoder_pb2.DecodeStart, bytes]:
        source = request.WhichOneof("source")
        if source == "stream":
            info = inspect(request.stream, self._limits)
            return decoder_pb2.DecodeStart(info=stream_info_to_wire(info)), request.stream
        if source is None:
            raise BadRequest("a request names a stored frame or holds a stream, got neither")
        key = key_from_wire(request.key)
        frame = await self._store.get(key)
        start = decoder_pb2.DecodeStart(
            key=key_to_wire(key),
            capture_time=nanoseconds_to_wire(frame.captured_ns),
            info=stream_info_to_wire(frame.info),
        )
        return start, frame.stream

    def _stored_frame(self, record: FrameRecord) -> decoder_pb2.StoredFrame:
        return wire.record_to_wire(record, decodable=self._models.decodes(record.info.latents_id))

    def _watch_response(self, seen: Watched) -> decoder_pb2.WatchFramesResponse:
        response = decoder_pb2.WatchFramesResponse(
            cursor=cursors.cursor_from_position(self._store, seen.position), stream=seen.stream
        )
        if isinstance(seen.what, Gap):
            response.gap.CopyFrom(wire.gap_to_wire(seen.what))
        else:
            response.frame.CopyFrom(self._stored_frame(seen.what))
        return response

    async def _watch(self, request: decoder_pb2.WatchFramesRequest) -> AsyncGenerator[Watched]:
        if request.mode not in _READ_OF_MODE:
            raise BadRequest(f"a watch's mode is EVERY or NEWEST, got {request.mode}")
        if request.WhichOneof("from") == "cursor":
            # Another decoder may have issued it a moment ago.
            await self._store.catch_up()
            position = cursors.position_from_cursor(self._store, request.cursor)
        elif request.start == types_pb2.WATCH_START_OLDEST:
            position = 0
        elif request.start == types_pb2.WATCH_START_NOW:
            position = self._store.newest_position
        else:
            raise BadRequest("a watch begins at a cursor, OLDEST or NOW, got none of them")
        return watch(
            self._store,
            position,
            read=_READ_OF_MODE[request.mode],
            cameras=list(request.cameras),
            with_streams=request.include_stream,
            stopping=self._stopping,
        )


async def _parts(
    start: decoder_pb2.DecodeStart, rendering: Rendering, picture: Rendered
) -> AsyncGenerator[decoder_pb2.DecodeResponse]:
    yield decoder_pb2.DecodeResponse(start=start)
    for part in _picture_parts(picture, rendering.order):
        yield part
    async with aclosing(rendering.others()) as others:
        # Under the name of the first, so that this one is not kept to the end.
        async for picture in others:
            for part in _picture_parts(picture, rendering.order):
                yield part
    times = rendering.times
    yield decoder_pb2.DecodeResponse(
        statistics=decoder_pb2.DecodeStatistics(
            queue_seconds=times.queue,
            latents_seconds=times.latents,
            synthesis_seconds=times.synthesis,
            picture_seconds=times.picture,
        )
    )


def _picture_parts(picture: Rendered, order: Order) -> Iterator[decoder_pb2.DecodeResponse]:
    yield decoder_pb2.DecodeResponse(
        picture=decoder_pb2.PictureStart(
            view=picture.view,
            format=types_pb2.PixelFormat.ValueType(order.pixel_format),
            height=picture.height,
            width=picture.width,
            num_bytes=len(picture.data),
        )
    )
    for begin in range(0, len(picture.data), _CHUNK_BYTES):
        yield decoder_pb2.DecodeResponse(chunk=picture.data[begin : begin + _CHUNK_BYTES])
