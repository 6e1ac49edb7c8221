"""A real decoder on a free port, over a real store and codecs that a test gives."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.fake_codec import FakeCodec
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_decoder.main import SERVICE, serve
from ugicm_decoder.settings import DecoderSettings
from ugicm_decoder.status import DECODER_STATUS
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import connect
from ugicm_servicekit.logs import LogFormat, LogLevel, configure_logging
from ugicm_servicekit.models import Models
from ugicm_servicekit.server import Server

ROOT = Path(__file__).parents[2]
HUMAN = types.View(preset=types.VIEW_PRESET_HUMAN)
MACHINE = types.View(preset=types.VIEW_PRESET_MACHINE)


@dataclass
class Running:
    server: Server
    serving: asyncio.Task
    port: int
    channel: grpc.aio.Channel
    models: Models

    @property
    def stub(self):
        return DecoderServiceStub(self.channel)

    async def ingest(self, *items):
        call = self.stub.Ingest(iter([request(item) for item in items]))
        return [response async for response in call]

    async def decode(self, **fields):
        return pictures([part async for part in self.stub.Decode(order(**fields))])


@asynccontextmanager
async def decoding(path, *codecs, access=Access(), **settings):  # noqa: B008 - it is frozen
    """Serve from a store under ``path``, by a ``FakeCodec`` where no codec is given."""
    chosen = DecoderSettings(**{"port": 0, "store": path / "frames.sqlite", **settings})
    server = Server(chosen, DECODER_STATUS, services=[SERVICE])
    port = await server.listen()
    models = Models(codecs or [FakeCodec()])
    serving = asyncio.create_task(serve(chosen, server, models))
    try:
        async with connect(f"127.0.0.1:{port}", access=access) as channel:
            await ready(channel)
            yield Running(server, serving, port, channel, models)
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


@asynccontextmanager
async def started(*arguments, at="127.0.0.1"):
    """Start a service's process; yields it and its address, and kills it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith(f"listening on {at}:"), line
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextmanager
def log_lines():
    """Log as a service does; yields a list that has every line once the block ends."""
    root, lines, written = logging.getLogger(), [], io.StringIO()
    before = root.handlers[:], root.level
    root.handlers.clear()
    configure_logging(LogLevel.INFO, LogFormat.LINES)
    root.handlers[0].setStream(written)
    try:
        yield lines
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        lines += written.getvalue().splitlines()


def frame(stream, camera="gate", sequence=0, *, epoch=1, seconds=1_700_000_000):
    return types.Frame(
        key=types.FrameKey(camera=camera, epoch=epoch, sequence=sequence),
        capture_time=Timestamp(seconds=seconds, nanos=7),
        stream=stream,
    )


def request(item):
    kind = "gap" if isinstance(item, types.Gap) else "frame"
    return pb.IngestRequest(**{kind: item})


def order(**fields):
    return pb.DecodeRequest(**{"views": [HUMAN], "format": types.PIXEL_FORMAT_RGB, **fields})


@dataclass
class Pictures:
    start: pb.DecodeStart
    headers: list[pb.PictureStart] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    statistics: pb.DecodeStatistics | None = None
    chunk_sizes: list[int] = field(default_factory=list)

    @property
    def pixels(self):
        return [
            np.frombuffer(data, np.uint8).reshape(header.height, header.width, 3)
            for header, data in zip(self.headers, self.data, strict=True)
        ]


def pictures(parts):
    """Put the parts of one answer together; their order is checked on the way."""
    first, *middle, last = parts
    assert first.WhichOneof("part") == "start"
    assert last.WhichOneof("part") == "statistics"
    answer = Pictures(first.start, statistics=last.statistics)
    for part in middle:
        if part.WhichOneof("part") == "picture":
            answer.headers.append(part.picture)
            answer.data.append(b"")
        else:
            answer.data[-1] += part.chunk
            answer.chunk_sizes.append(len(part.chunk))
    assert [len(data) for data in answer.data] == [one.num_bytes for one in answer.headers]
    return answer
