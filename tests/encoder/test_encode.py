"""Encoding through the service: the codec's streams, and a status for everything else."""

from __future__ import annotations

import asyncio
import io
import threading

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.encoder.harness import encoding, item, key, raw
from tests.fake_codec import FakeCodec, FakeModel, picture
from ugicm.v1 import encoder_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm_codec import inspect
from ugicm_encoder import coding


@pytest.fixture
def codec():
    return FakeCodec()


@pytest.fixture
async def encoder(codec):
    async with encoding(codec) as running:
        yield running


def file(pixels, kind):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, lossless=True)
    return data.getvalue()


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_raw_picture_becomes_the_stream_of_the_codec(encoder, codec):
    response = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture()), quality=7))
    assert response.stream == codec.encode(picture(), 7)
    assert (response.info.height, response.info.width, response.info.quality_step) == (12, 17, 7)
    assert response.info.num_bytes == len(response.stream)
    assert (response.model, response.model_sha256) == ("fake", "f" * 64)
    assert response.delivery == pb.DELIVERY_RETURNED
    assert response.statistics.encode_seconds > 0


@pytest.mark.parametrize(
    ("pixel_format", "kind"),
    [(types.PIXEL_FORMAT_PNG, "PNG"), (types.PIXEL_FORMAT_WEBP, "WEBP")],
)
async def test_a_lossless_file_becomes_the_same_stream_as_its_pixels(
    encoder, codec, pixel_format, kind
):
    sent = types.Picture(format=pixel_format, data=file(picture(), kind))
    response = await encoder.stub.Encode(pb.EncodeRequest(picture=sent))
    assert response.stream == codec.encode(picture())


async def test_a_jpeg_file_is_read(encoder):
    grey = np.full((8, 9, 3), 128, np.uint8)
    sent = types.Picture(format=types.PIXEL_FORMAT_JPEG, data=file(grey, "JPEG"))
    response = await encoder.stub.Encode(pb.EncodeRequest(picture=sent))
    assert (response.info.height, response.info.width) == (8, 9)


async def test_quality_is_the_servers_where_the_request_names_none():
    async with encoding(quality=83) as encoder:
        response = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
        assert response.info.quality_step == 83
        zero = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture()), quality=0))
        assert zero.info.quality_step == 0


async def test_too_small_a_budget_is_invalid_and_names_the_smallest(encoder, codec):
    smallest = len(codec.encode(picture()))
    request = pb.EncodeRequest(picture=raw(picture()), max_bytes=smallest)
    assert len((await encoder.stub.Encode(request)).stream) == smallest
    request.max_bytes -= 1
    error = await refusal(encoder.stub.Encode(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(smallest) in error.details()


async def test_the_stream_is_left_out_on_request(encoder):
    request = pb.EncodeRequest(picture=raw(picture()), key=key(3), omit_stream=True)
    response = await encoder.stub.Encode(request)
    assert response.stream == b""
    assert response.key == key(3)
    assert response.info.num_bytes > 0


RGB = types.PIXEL_FORMAT_RGB
PNG = types.PIXEL_FORMAT_PNG


@pytest.mark.parametrize(
    "fields",
    [
        {"picture": types.Picture()},
        {"picture": types.Picture(format=55, data=b"x")},
        {"picture": types.Picture(format=RGB, height=2, width=2, data=b"x" * 11)},
        {"picture": types.Picture(format=RGB, data=b"")},
        {"picture": types.Picture(format=PNG, data=b"not a file")},
        {"picture": types.Picture(format=PNG, data=file(picture(), "PNG")[:-200])},
        {"picture": types.Picture(format=PNG, data=file(picture(), "JPEG"))},
        {"picture": types.Picture(format=PNG, height=9, data=file(picture(), "PNG"))},
        {"picture": raw(picture()), "quality": 101},
        {"picture": raw(picture()), "key": types.FrameKey(camera="a/b")},
        {"picture": raw(picture()), "capture_time": {"nanos": -1}},
    ],
)
async def test_bad_requests_are_invalid_and_the_next_is_served(encoder, fields):
    error = await refusal(encoder.stub.Encode(pb.EncodeRequest(**fields)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))


@pytest.mark.parametrize("kind", ["RGB", "PNG"])
async def test_an_oversize_picture_is_refused_before_it_is_decoded(codec, kind):
    pixels = picture(11, 10)
    sent = raw(pixels) if kind == "RGB" else types.Picture(format=PNG, data=file(pixels, "PNG"))
    async with encoding(codec, max_pixels=109) as encoder:
        error = await refusal(encoder.stub.Encode(pb.EncodeRequest(picture=sent)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "109" in error.details()
    assert codec.calls["analyse"] == 0


async def test_the_model_is_chosen_by_name():
    other = FakeCodec(FakeModel("other", latents_id=b"otherone"))
    async with encoding(FakeCodec(), other) as encoder:
        request = pb.EncodeRequest(picture=raw(picture()), model="other")
        response = await encoder.stub.Encode(request)
        assert inspect(response.stream).latents_id == b"otherone"
        request.model = "missing"
        error = await refusal(encoder.stub.Encode(request))
        listed = await encoder.stub.ListModels(types.ListModelsRequest())
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert [model.name for model in listed.models] == ["fake", "other"]


async def test_a_stream_is_answered_in_order_and_survives_bad_items(encoder):
    bad = pb.EncodeStreamRequest(request_id=2)
    items = [item(1, picture(64, 64)), bad, item(3, picture(1, 1)), item(4, picture(9, 9))]
    outcomes = []
    async for response in encoder.stub.EncodeStream(iter(items)):
        outcomes.append((response.request_id, response.WhichOneof("outcome")))
        if response.request_id == 2:
            assert response.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert outcomes == [(1, "response"), (2, "failure"), (3, "response"), (4, "response")]


async def test_an_encode_stream_answers_while_it_is_open(encoder):
    call = encoder.stub.EncodeStream()
    for number in range(3):
        await call.write(item(number, picture()))
        assert (await call.read()).request_id == number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_work_ahead_is_bounded(codec):
    codec.go_on.clear()
    async with encoding(codec, threads=8, encode_ahead=3, drain_seconds=0) as encoder:
        call = encoder.stub.EncodeStream(iter([item(number, picture()) for number in range(9)]))
        await asyncio.to_thread(codec.held_up.wait)
        # Calls on one connection are taken in turn: the stream has had every chance to go on.
        for _ in range(20):
            await encoder.stub.ListModels(types.ListModelsRequest())
        assert codec.calls["analyse"] <= 3
        codec.go_on.set()
        answered = [response.request_id async for response in call]
    assert answered == list(range(9))


async def test_draining_finishes_calls_and_ends_open_streams(codec):
    async with encoding(codec, drain_seconds=60) as encoder:
        call = encoder.stub.EncodeStream()
        codec.go_on.clear()
        await call.write(item(1, picture()))
        await asyncio.to_thread(codec.held_up.wait)
        encoder.server.stop()
        codec.go_on.set()
        assert (await call.read()).response.stream == codec.encode(picture())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(50):
            await asyncio.shield(encoder.serving)


class SlowCoding(FakeCodec):
    """Codes nothing before two pictures have been analysed, one at a time."""

    def __init__(self):
        super().__init__()
        self.analysing = threading.Lock()
        self.both_analysed = threading.Barrier(2)

    def analyse(self, image):
        assert self.analysing.acquire(blocking=False), "two are analysed at once"
        try:
            return super().analyse(image)
        finally:
            self.analysing.release()

    def code(self, image, quality=None, *, max_bytes=None):
        self.both_analysed.wait(30)
        return super().code(image, quality, max_bytes=max_bytes)


@pytest.fixture
def one_by_one(monkeypatch):
    """Take small pictures for large ones, which are not analysed side by side."""
    monkeypatch.setattr(coding, "_SIDE_BY_SIDE_PIXELS", 0)


@pytest.mark.usefixtures("one_by_one")
async def test_the_next_picture_is_analysed_while_one_is_coded():
    async with encoding(SlowCoding()) as encoder:
        call = encoder.stub.EncodeStream(iter([item(number, picture()) for number in range(2)]))
        assert [response.WhichOneof("outcome") async for response in call] == ["response"] * 2


@pytest.mark.usefixtures("one_by_one")
async def test_pictures_of_different_clients_are_pipelined_too():
    async with encoding(SlowCoding()) as encoder:
        request = pb.EncodeRequest(picture=raw(picture()))
        await asyncio.gather(*(encoder.stub.Encode(request) for _ in range(2)))


async def test_a_picture_whose_call_gave_up_is_neither_analysed_nor_coded(codec):
    async with encoding(codec, threads=1) as encoder:
        codec.go_on.clear()
        first = encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
        await asyncio.to_thread(codec.held_up.wait)
        late = encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture(seed=1))), timeout=0.05)
        assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await encoder.stub.ListModels(types.ListModelsRequest())
        codec.go_on.set()
        await first
        await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture(seed=2))))
    assert (codec.calls["analyse"], codec.calls["code"]) == (2, 2)


async def test_who_reads_no_answers_is_read_no_further(codec):
    async with encoding(codec, drain_seconds=0) as encoder:
        large = picture(300, 300)
        items = [item(number, large) for number in range(100)]
        stalled = aiter(encoder.stub.EncodeStream(iter(items)))
        await anext(stalled)
        # The queue is fair: a call that ran on unread would have its turns among these.
        for _ in range(100):
            await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
        assert codec.calls["code"] - 100 < 50
        answered = [answer.request_id async for answer in stalled]
    assert answered == list(range(1, 100))
