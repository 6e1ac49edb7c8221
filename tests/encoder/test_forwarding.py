"""Frames on their way to the decoder: stored before they are answered, or refused."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.decoder.harness import decoding, log_lines
from tests.encoder.harness import encoding, item, key, raw
from tests.fake_codec import FakeCodec, picture
from tests.ports import free_port
from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1 import encoder_pb2 as pb
from ugicm.v1.decoder_pb2_grpc import (
    DecoderServiceServicer,
    add_DecoderServiceServicer_to_server,
)
from ugicm_encoder.upstream import Upstream
from ugicm_servicekit.channel import open_channel


@pytest.fixture
async def decoder(tmp_path):
    async with decoding(tmp_path) as running:
        yield running


@pytest.fixture
async def encoder(decoder):
    async with encoding(upstream=f"127.0.0.1:{decoder.port}") as running:
        yield running


def request(sequence=0, seed=0, **fields):
    return pb.EncodeRequest(picture=raw(picture(seed=seed)), key=key(sequence), **fields)


async def stored(decoder):
    page = await decoder.stub.ListFrames(decoder_pb2.ListFramesRequest(camera="gate"))
    return [record.key.sequence for record in page.frames]


async def test_a_frame_is_stored_when_it_is_answered(encoder, decoder):
    taken = Timestamp(seconds=1_700_000_000, nanos=123_456_789)
    response = await encoder.stub.Encode(request(5, capture_time=taken))
    assert response.delivery == pb.DELIVERY_STORED
    assert response.statistics.delivery_seconds > 0
    answer = await decoder.stub.GetFrame(decoder_pb2.GetFrameRequest(key=key(5)))
    assert answer.frame.stream == response.stream == FakeCodec().encode(picture())
    assert answer.frame.capture_time == taken


async def test_a_picture_without_a_key_is_not_forwarded(encoder, decoder):
    response = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
    assert response.delivery == pb.DELIVERY_RETURNED
    assert await stored(decoder) == []


async def test_a_frame_sent_again_is_stored_once(encoder, decoder):
    for delivery in (pb.DELIVERY_STORED, pb.DELIVERY_DUPLICATE):
        assert (await encoder.stub.Encode(request())).delivery == delivery
    assert await stored(decoder) == [0]


async def test_another_picture_under_a_taken_key_already_exists(encoder):
    await encoder.stub.Encode(request())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await encoder.stub.Encode(request(seed=1))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "gate/1/0" in caught.value.details()
    assert (await encoder.stub.Encode(request(1))).delivery == pb.DELIVERY_STORED


async def test_a_stream_of_frames_is_stored_in_its_order(encoder, decoder):
    sizes = [(96, 96), (1, 1), (48, 48), (2, 2), (64, 64), (3, 3)] * 5
    items = [item(n, picture(*size), key=key(n)) for n, size in enumerate(sizes)]
    watch = decoder.stub.Watch(
        decoder_pb2.WatchFramesRequest(
            start=types_pb2.WATCH_START_NOW, mode=types_pb2.WATCH_MODE_EVERY
        )
    )
    await watch.initial_metadata()
    answered = [response.request_id async for response in encoder.stub.EncodeStream(iter(items))]
    in_order = [(await watch.read()).frame.key.sequence for _ in items]
    watch.cancel()
    assert answered == in_order == list(range(30))


async def test_without_the_decoder_a_frame_is_unavailable_and_says_why():
    async with encoding(upstream="127.0.0.1:1") as encoder:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await encoder.stub.Encode(request())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "decoder at 127.0.0.1:1" in caught.value.details()
        alone = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
        assert alone.stream
        answers = encoder.stub.EncodeStream(
            iter([item(1, picture(), key=key()), item(2, picture())])
        )
        failed, returned = [answer async for answer in answers]
    assert failed.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert returned.response.delivery == pb.DELIVERY_RETURNED


async def test_a_decoder_that_went_away_and_came_back_is_used_again(tmp_path):
    async with decoding(tmp_path, port=free_port()) as decoder:
        address = f"127.0.0.1:{decoder.port}"
        async with encoding(upstream=address) as encoder:
            await encoder.stub.Encode(request(0))
            decoder.server.stop()
            await decoder.serving
            await decoder.server.close()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await encoder.stub.Encode(request(1))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            async with decoding(tmp_path, port=decoder.port) as again:
                while True:
                    try:
                        await encoder.stub.Encode(request(1))
                    except grpc.aio.AioRpcError:
                        continue
                    break
                assert await stored(again) == [0, 1]


class ScriptedDecoder(DecoderServiceServicer):
    """Answers frames by what a test gives; where that is None, the call stalls."""

    def __init__(self, answers):
        self.answers = iter(answers)

    async def Ingest(self, request_iterator, context):
        async for _ in request_iterator:
            answer = next(self.answers)
            if answer is None:
                await asyncio.Event().wait()
            yield answer


@asynccontextmanager
async def scripted(*answers, **settings):
    """Serve by an encoder that forwards to a ``ScriptedDecoder``."""
    server = grpc.aio.server()
    add_DecoderServiceServicer_to_server(ScriptedDecoder(answers), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with encoding(upstream=f"127.0.0.1:{port}", **settings) as encoder:
            yield encoder
    finally:
        await server.stop(None)


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


STORED = decoder_pb2.IngestResponse(result=decoder_pb2.INGEST_RESULT_STORED)


def failing(code, **fields):
    failure = types_pb2.Failure(code=code.value[0], message="the decoder's words", **fields)
    return decoder_pb2.IngestResponse(failure=failure)


async def test_a_decoder_that_does_not_answer_in_time_is_unavailable_and_gets_a_fresh_call():
    async with scripted(None, STORED, upstream_seconds=2) as encoder:
        error = await refusal(encoder.stub.Encode(request(0)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "within 2 s" in error.details()
        assert (await encoder.stub.Encode(request(1))).delivery == pb.DELIVERY_STORED


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    ],
)
async def test_the_decoders_refusal_is_passed_on_with_its_words(code):
    async with scripted(failing(code)) as encoder:
        error = await refusal(encoder.stub.Encode(request(1)))
    assert error.code() is code
    assert error.details() == "the decoder refused frame gate/1/1: the decoder's words"
    assert error.trailing_metadata() == grpc.aio.Metadata()


async def test_a_full_decoders_hint_is_passed_on():
    full = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_seconds=1.5)
    async with scripted(full) as encoder:
        error = await refusal(encoder.stub.Encode(request(1)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1500"


async def test_a_broken_decoder_is_told_in_the_log_only(caplog):
    async with scripted(failing(grpc.StatusCode.INTERNAL)) as encoder:
        error = await refusal(encoder.stub.Encode(request(1)))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "the decoder's words" in str(record.exc_info[1])


async def test_a_frame_that_was_given_up_before_it_was_sent_takes_no_memory():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with open_channel(address) as channel:
            upstream = Upstream(channel, address, timeout_seconds=60, max_request_bytes=2**26)
            frames = [types_pb2.Frame(key=key(number)) for number in range(3)]
            deliveries = [asyncio.create_task(upstream.deliver(frame)) for frame in frames]
            await asyncio.sleep(0)
            # One of them may be with grpc already.
            assert len(upstream._link._unsent) > 1
            for delivery in deliveries:
                delivery.cancel()
            await asyncio.wait(deliveries)
            assert not upstream._link._unsent
            await upstream.close()


async def test_a_frame_that_is_given_up_as_it_is_about_to_be_sent_holds_up_no_other(decoder):
    address = f"127.0.0.1:{decoder.port}"
    async with open_channel(address) as channel:
        upstream = Upstream(channel, address, timeout_seconds=60, max_request_bytes=2**26)
        frames = [
            types_pb2.Frame(
                key=key(number),
                capture_time=Timestamp(seconds=1),
                stream=FakeCodec().encode(picture()),
            )
            for number in range(3)
        ]
        await upstream.deliver(frames[0])
        # Now the call waits for the next frame: it is woken by the one, and told of no other.
        given_up = asyncio.create_task(upstream.deliver(frames[1]))
        await asyncio.sleep(0)
        given_up.cancel()
        await upstream.deliver(frames[2])
        await upstream.close()
    assert await stored(decoder) == [0, 2]


async def test_a_picture_too_large_for_the_decoder_is_an_invalid_argument(tmp_path):
    async with (
        decoding(tmp_path, max_pixels=100) as decoder,
        encoding(upstream=f"127.0.0.1:{decoder.port}") as encoder,
    ):
        error = await refusal(encoder.stub.Encode(request()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "100 pixels" in error.details()


async def test_the_log_line_of_a_refusal_names_its_frame():
    with log_lines() as lines:
        async with encoding(upstream="127.0.0.1:1") as encoder:
            await refusal(encoder.stub.Encode(request(3)))
    (line,) = (line for line in lines if "Encode refused: UNAVAILABLE" in line)
    assert line.endswith("camera=gate epoch=1 sequence=3")
