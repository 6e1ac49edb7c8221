"""A real analytics server on a free port, and a decoder that serves fixed pictures beside it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc
from ugicm.v1 import types_pb2 as types
from ugicm.v1.analytics_pb2_grpc import AnalyticsServiceStub
from ugicm_analytics.main import SERVICE, serve
from ugicm_analytics.settings import AnalyticsSettings
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_servicekit.channel import connect
from ugicm_servicekit.server import Server
from ugicm_servicekit.wire import view_from_wire

HUMAN = types.View(preset=types.VIEW_PRESET_HUMAN)
MACHINE = types.View(preset=types.VIEW_PRESET_MACHINE)
CAPTURE_TIME = Timestamp(seconds=1_700_000_000, nanos=7)
MODEL_SHA256 = "ab" * 32


def key(sequence, camera="gate"):
    return types.FrameKey(camera=camera, epoch=1, sequence=sequence)


def stored(sequence, camera="gate"):
    """Return the news of a frame; its cursor is its name."""
    frame = decoder_pb2.StoredFrame(key=key(sequence, camera), decodable=True)
    cursor = f"{camera}-{sequence}".encode()
    return decoder_pb2.WatchFramesResponse(cursor=cursor, frame=frame)


def rgb(pixels):
    height, width, _ = pixels.shape
    return types.Picture(
        format=types.PIXEL_FORMAT_RGB, height=height, width=width, data=pixels.tobytes()
    )


@dataclass
class Refusal:
    """What a decoder ends a call with."""

    code: grpc.StatusCode
    details: str = "the decoder's own words"
    metadata: tuple = ()


class FixedDecoder(decoder_pb2_grpc.DecoderServiceServicer):
    """Serves pictures by sequence or stream; only view 1 shows them, others are black.

    Args:
        pictures: of each sequence and stream, its pixels, a refusal, or a list of these that
            answer one call after another.
    """

    def __init__(self, pictures):
        self.pictures = pictures
        self.parts = _parts
        self.events = asyncio.Queue()
        self.watches = []
        self.decoded = []
        # Tests clear them to hold an answer up, before it and at its end.
        self.gate, self.gate_at_end = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.gate_at_end.set()
        # What became of the newest call.
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def Decode(self, request, context):
        by_key = request.WhichOneof("source") == "key"
        name = request.key.sequence if by_key else request.stream
        self.decoded.append(name)
        async with self._telling():
            await self.gate.wait()
            answer = self.pictures.get(name, Refusal(grpc.StatusCode.NOT_FOUND))
            if isinstance(answer, list):
                answer = answer.pop(0)
            if isinstance(answer, Refusal):
                await context.abort(answer.code, answer.details, answer.metadata)
            view = view_from_wire(request.views[0])
            for part in self.parts(answer if view == 1 else np.zeros_like(answer), view):
                if by_key and part.WhichOneof("part") == "start":
                    part.start.key.CopyFrom(request.key)
                    part.start.capture_time.CopyFrom(CAPTURE_TIME)
                yield part
            await self.gate_at_end.wait()

    async def Watch(self, request, context):
        self.watches.append(request)
        if request.mode == types.WATCH_MODE_UNSPECIFIED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a watch needs a mode")
        async with self._telling():
            await context.send_initial_metadata(())
            while True:
                event = await self.events.get()
                if isinstance(event, Refusal):
                    await context.abort(event.code, event.details)
                yield event

    @asynccontextmanager
    async def _telling(self):
        self.begun.set()
        try:
            yield
        finally:
            self.ended.set()

    def store(self, sequence, camera="gate"):
        self.events.put_nowait(stored(sequence, camera))


def _parts(pixels, view):
    """Return a whole answer, its picture in chunks of 100,000 bytes."""
    data = pixels.tobytes()
    start = decoder_pb2.DecodeStart(model="fixed", model_sha256=MODEL_SHA256)
    picture = decoder_pb2.PictureStart(
        view=view,
        format=types.PIXEL_FORMAT_RGB,
        height=pixels.shape[0],
        width=pixels.shape[1],
        num_bytes=len(data),
    )
    return [
        decoder_pb2.DecodeResponse(start=start),
        decoder_pb2.DecodeResponse(picture=picture),
        *(
            decoder_pb2.DecodeResponse(chunk=data[begin : begin + 100_000])
            for begin in range(0, len(data), 100_000)
        ),
        decoder_pb2.DecodeResponse(statistics=decoder_pb2.DecodeStatistics()),
    ]


@asynccontextmanager
async def decoding(servicer):
    """Serve a decoder; yields its address."""
    server = grpc.aio.server()
    decoder_pb2_grpc.add_DecoderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def analyzing(analyzers, *, decoder, **settings):
    """Serve analyzers with a decoder at an address; yields a stub and the server.

    Results are kept where a file is named for them.
    """
    chosen = AnalyticsSettings(**{"port": 0, "decoder": decoder, "results": Path(), **settings})
    server = Server(chosen, ANALYTICS_STATUS, services=[SERVICE])
    port = await server.listen()
    serving = asyncio.create_task(serve(chosen, server, analyzers))
    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            await ready(channel)
            yield AnalyticsServiceStub(channel), server
    finally:
        server.stop()
        try:
            await serving
        finally:
            await server.close()


async def ready(channel):
    """Wait until the server is ready to serve."""
    watch = HealthStub(channel).Watch(HealthCheckRequest())
    while (await watch.read()).status != HealthCheckResponse.SERVING:
        pass
    watch.cancel()


class RecordingDecoder(FixedDecoder):
    """Stores frames and gaps in order, and reports them from any cursor on, as a decoder does.

    Args:
        pictures: as ``FixedDecoder`` has them, by sequence.
        name: of its store; cursors of others are refused.
    """

    def __init__(self, pictures, name="store"):
        super().__init__(pictures)
        self.name = name
        self.log = []
        self._grown = asyncio.Event()
        # Tests clear it, and set ``leaving``, to be away for a while.
        self.here = asyncio.Event()
        self.here.set()
        self.leaving = asyncio.Event()

    async def Watch(self, request, context):
        self.watches.append(request)
        if not self.here.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        position = 0
        if request.WhichOneof("from") == "cursor":
            name, _, number = request.cursor.decode().rpartition(":")
            if name != self.name:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "of another store")
            position = int(number)
        elif request.start == types.WATCH_START_NOW:
            position = len(self.log)
        await context.send_initial_metadata(())
        leaving = asyncio.create_task(self.leaving.wait())
        try:
            while not leaving.done():
                while position < len(self.log):
                    event = self.log[position]
                    position += 1
                    camera = getattr(event, event.WhichOneof("event"))
                    camera = camera.camera if hasattr(camera, "camera") else camera.key.camera
                    if request.cameras and camera not in request.cameras:
                        continue
                    reported = decoder_pb2.WatchFramesResponse()
                    reported.CopyFrom(event)
                    reported.cursor = f"{self.name}:{position}".encode()
                    yield reported
                self._grown.clear()
                grown = asyncio.create_task(self._grown.wait())
                try:
                    await asyncio.wait({grown, leaving}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    grown.cancel()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "leaving")
        finally:
            leaving.cancel()

    def store(self, sequence, camera="gate"):
        self._append(stored(sequence, camera))

    def store_gap(self, first, last, camera="gate"):
        gap = types.Gap(camera=camera, epoch=1, first_sequence=first, last_sequence=last, reason=2)
        self._append(decoder_pb2.WatchFramesResponse(gap=gap))

    def _append(self, event):
        self.log.append(event)
        self._grown.set()
