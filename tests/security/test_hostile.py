"""Clients that mean harm: each is refused and counted, and whoever comes beside it is served."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
import zlib

import grpc
import numpy as np
import pytest

from tests.decoder.harness import decoding, frame, order
from tests.encoder.harness import encoding, key, raw
from tests.fake_codec import FakeCodec
from tests.security.credentials import Tokens
from tests.servicekit.harness import encoding as serving
from tests.servicekit.harness import request
from ugicm.v1 import encoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm_codec.bitstream import write_stream
from ugicm_servicekit.channel import connect
from ugicm_servicekit.roles import Role
from ugicm_servicekit.settings import ServerSettings

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PICTURE = np.zeros((4, 5, 3), np.uint8)


def png_of(height, width):
    """Return a PNG file whose header declares a size that its few bytes of pixels have not."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg_of(height, width):
    frame_header = struct.pack(">BHHB", 8, height, width, 3) + bytes.fromhex("012200021101031101")
    segment = b"\xff\xc0" + struct.pack(">H", len(frame_header) + 2) + frame_header
    return b"\xff\xd8" + segment + b"\xff\xda" + bytes(100) + b"\xff\xd9"


def webp_of(height, width):
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sizes
    lossless = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(20)
    body += b"VP8L" + struct.pack("<I", len(lossless)) + lossless + bytes(len(lossless) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


BOMBS = [
    (types.PIXEL_FORMAT_PNG, png_of(60_000, 60_000)),
    (types.PIXEL_FORMAT_PNG, png_of(2**31 - 1, 2**31 - 1)),
    (types.PIXEL_FORMAT_PNG, png_of(1, 2**31 - 1)),
    (types.PIXEL_FORMAT_JPEG, jpeg_of(65_535, 65_535)),
    (types.PIXEL_FORMAT_WEBP, webp_of(16_384, 16_384)),
]


def peak_bytes():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    ("pixel_format", "data"), BOMBS, ids=["png", "png-2^62", "png-line", "jpeg", "webp"]
)
async def test_a_file_that_declares_too_many_pixels_is_refused_by_its_header(pixel_format, data):
    codec = FakeCodec()
    async with encoding(codec) as running:
        before = peak_bytes()
        picture = types.Picture(format=pixel_format, data=data)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(encoder_pb2.EncodeRequest(picture=picture))
        assert caught.value.code() is INVALID_ARGUMENT
        assert peak_bytes() - before < 2**25
        assert codec.calls["analyse"] == 0
        counted = ("/ugicm.v1.EncoderService/Encode", INVALID_ARGUMENT)
        assert running.server.refusals.counts == {counted: 1}
        await running.stub.Encode(encoder_pb2.EncodeRequest(picture=raw(PICTURE)))


async def test_raw_pixels_that_are_not_there_are_refused():
    async with encoding() as running:
        for height, width in [(2**32 - 1, 2**32 - 1), (8192, 8192), (0, 5)]:
            picture = types.Picture(
                format=types.PIXEL_FORMAT_RGB, height=height, width=width, data=b"few"
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.stub.Encode(encoder_pb2.EncodeRequest(picture=picture))
            assert caught.value.code() is INVALID_ARGUMENT


async def test_a_stream_that_declares_too_many_pixels_is_neither_decoded_nor_stored(tmp_path):
    bomb = write_stream(
        latents_id=FakeCodec().model.latents_id,
        height=65_535,
        width=65_535,
        quality_step=50,
        latents_crc=0,
        hyper=b"",
        latents=b"",
    )
    codec = FakeCodec()
    async with decoding(tmp_path, codec) as running:
        before = peak_bytes()
        call = running.stub.Decode(order(stream=bomb))
        assert await call.code() is INVALID_ARGUMENT
        (answer,) = await running.ingest(frame(bomb))
        assert answer.failure.code == INVALID_ARGUMENT.value[0]
        counts = running.server.refusals.counts
        assert counts["/ugicm.v1.DecoderService/Decode", INVALID_ARGUMENT] == 1
        assert counts["/ugicm.v1.DecoderService/Ingest", INVALID_ARGUMENT] == 1
        assert peak_bytes() - before < 2**25
        assert codec.calls["decode_latents"] == 0


@pytest.fixture
def many_files():
    """Allow this process both ends of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"needs 4096 open files, the system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def connections(port, number):
    """Return connections that say nothing."""
    sockets = []
    for _ in range(number):
        silent = socket.socket()
        silent.setblocking(False)
        await asyncio.get_running_loop().sock_connect(silent, ("127.0.0.1", port))
        sockets.append(silent)
    return sockets


async def until_closed(silent):
    """Read what a server may say first, until it closes the connection."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(silent, 4096):
            pass
    except ConnectionError:
        pass


async def test_a_thousand_silent_connections_keep_nobody_out_and_are_let_go(many_files):
    async with serving(settings=ServerSettings(handshake_seconds=3.0)) as running:
        silent = await connections(running.port, 1000)
        try:
            async with connect(f"127.0.0.1:{running.port}") as channel:
                encode = channel.unary_unary("/ugicm.v1.EncoderService/Encode")
                for _ in range(10):
                    await encode(request(b"served").SerializeToString())
            async with asyncio.timeout(60):
                await asyncio.gather(*map(until_closed, silent))
            await running.stub.Encode(request())
        finally:
            for one in silent:
                one.close()


async def test_connections_beyond_the_limit_are_closed_and_the_others_served():
    async with serving(settings=ServerSettings(max_connections=5)) as running:
        silent = await connections(running.port, 20)
        try:
            ended = [asyncio.ensure_future(until_closed(one)) for one in silent]
            async with asyncio.timeout(30):
                while sum(one.done() for one in ended) < 16:
                    await asyncio.wait(
                        [one for one in ended if not one.done()],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
            await running.stub.Encode(request())
        finally:
            for one in ended:
                one.cancel()
            await asyncio.gather(*ended, return_exceptions=True)
            for one in silent:
                one.close()


async def test_garbage_on_a_connection_ends_that_connection_only():
    async with serving() as running:
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
        ):
            (one,) = await connections(running.port, 1)
            await asyncio.get_running_loop().sock_sendall(one, garbage)
            async with asyncio.timeout(30):
                await until_closed(one)
            one.close()
        await running.stub.Encode(request())


async def test_slow_writers_fill_their_own_share_and_leave_others_theirs(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    slow, other = (
        [("authorization", "Bearer " + tokens.add(Role.CAMERA, name))] for name in ("slow", "other")
    )
    settings = ServerSettings(max_calls_per_client=8, tokens=tokens.path)
    async with serving(settings=settings) as running:

        async def nothing():
            await asyncio.Event().wait()
            yield b""

        write = running.channel.stream_unary("/ugicm.v1.EncoderService/Encode")
        calls = [write(nothing(), metadata=slow) for _ in range(40)]
        refused = [asyncio.ensure_future(call.code()) for call in calls]
        while sum(code.done() for code in refused) < 32:
            await asyncio.wait(
                [code for code in refused if not code.done()], return_when=asyncio.FIRST_COMPLETED
            )
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        assert {code.result() for code in refused if code.done()} == {exhausted}
        counted = ("/ugicm.v1.EncoderService/Encode", exhausted)
        assert running.server.refusals.counts == {counted: 32}
        await running.stub.Encode(request(), metadata=other)
        for call in calls:
            call.cancel()
        await asyncio.gather(*refused)


async def test_a_key_that_no_frame_can_have_costs_one_item():
    async with encoding() as running:
        bad = types.FrameKey(camera="../../etc/passwd")
        for wrong in (bad, types.FrameKey(), types.FrameKey(camera="x" * 129)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.stub.Encode(
                    encoder_pb2.EncodeRequest(picture=raw(PICTURE), key=wrong)
                )
            assert caught.value.code() is INVALID_ARGUMENT
        await running.stub.Encode(encoder_pb2.EncodeRequest(picture=raw(PICTURE), key=key()))
