"""Decoding through the service: the codec's pixels, and a status for everything else."""

from __future__ import annotations

import asyncio
import io
import random
from contextlib import AsyncExitStack

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.decoder.harness import HUMAN, MACHINE, decoding, frame, log_lines, order, pictures
from tests.fake_codec import FakeCodec, FakeModel, picture
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm_decoder.renderer import Renderer, Source
from ugicm_decoder.rendering import Order, Rendering
from ugicm_servicekit.batching import BatchLimits
from ugicm_servicekit.errors import Overloaded

FILES = {
    types.PIXEL_FORMAT_PNG: "PNG",
    types.PIXEL_FORMAT_JPEG: "JPEG",
    types.PIXEL_FORMAT_WEBP: "WEBP",
}


@pytest.fixture
def codec():
    return FakeCodec()


@pytest.fixture
async def decoder(tmp_path, codec):
    async with decoding(tmp_path, codec) as running:
        yield running


async def refusal(call):
    """Return the status that ends ``call``."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_stream_decodes_to_the_pixels_of_the_codec(decoder, codec):
    stream = codec.encode(picture())
    answer = await decoder.decode(stream=stream, views=[types.View(number=0.25)])
    np.testing.assert_array_equal(answer.pixels[0], codec.decode_views(stream, [0.25])[0])


async def test_a_stored_frame_decodes_by_its_key(decoder, codec):
    sent = frame(codec.encode(picture()))
    await decoder.ingest(sent)
    answer = await decoder.decode(key=sent.key)
    np.testing.assert_array_equal(answer.pixels[0], picture())
    assert (answer.start.key, answer.start.capture_time) == (sent.key, sent.capture_time)


async def test_several_views_cost_one_entropy_decode(decoder, codec):
    stream = codec.encode(picture())
    views = [HUMAN, MACHINE, types.View(number=0.5)]
    answer = await decoder.decode(stream=stream, views=views)
    assert [header.view for header in answer.headers] == [0.0, 1.0, 0.5]
    assert (codec.calls["decode_latents"], codec.calls["synthesise"]) == (1, 3)
    expected = codec.decode_views(stream, [0.0, 1.0, 0.5])
    np.testing.assert_array_equal(answer.pixels, expected)


async def test_an_answer_names_the_stream_the_model_and_the_time(decoder, codec):
    stream = codec.encode(picture(8, 10), quality=33)
    answer = await decoder.decode(stream=stream)
    info = answer.start.info
    assert (info.height, info.width, info.quality_step) == (8, 10, 33)
    assert (info.latents_id, info.num_bytes) == (b"fakefake", len(stream))
    assert info.bits_per_pixel == 8 * len(stream) / 80
    assert (answer.start.model, answer.start.model_sha256) == ("fake", "f" * 64)
    assert answer.statistics.latents_seconds > 0
    assert answer.statistics.synthesis_seconds > 0
    assert answer.statistics.picture_seconds > 0


@pytest.mark.parametrize("pixel_format", [types.PIXEL_FORMAT_PNG, types.PIXEL_FORMAT_WEBP])
async def test_lossless_files_hold_the_same_pixels(decoder, codec, pixel_format):
    answer = await decoder.decode(stream=codec.encode(picture()), format=pixel_format)
    with Image.open(io.BytesIO(answer.data[0]), formats=[FILES[pixel_format]]) as image:
        np.testing.assert_array_equal(np.asarray(image), picture())


async def test_jpeg_quality_decides_the_size(decoder, codec):
    stream = codec.encode(picture(64, 64))
    sizes = []
    for quality in (5, 0, 100):
        answer = await decoder.decode(
            stream=stream, format=types.PIXEL_FORMAT_JPEG, jpeg_quality=quality
        )
        with Image.open(io.BytesIO(answer.data[0]), formats=["JPEG"]) as image:
            assert image.size == (64, 64)
        sizes.append(len(answer.data[0]))
    assert sizes == sorted(set(sizes))


async def test_large_pictures_come_in_chunks_that_fit_into_messages(tmp_path, codec):
    large = picture(900, 700)
    async with decoding(tmp_path, codec, max_message_bytes=2**20 + 2**10) as decoder:
        await decoder.ingest(frame(codec.encode(np.zeros_like(large))))
        answer = await decoder.decode(
            key=types.FrameKey(camera="gate", epoch=1), views=[types.View(number=1 / 255)]
        )
    assert answer.chunk_sizes == [2**20, 900 * 700 * 3 - 2**20]
    np.testing.assert_array_equal(answer.pixels[0], np.ones_like(large))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"views": []}, "1 to 16 views, got 0"),
        ({"views": [HUMAN] * 17}, "1 to 16 views, got 17"),
        ({"views": [types.View()]}, "view"),
        ({"views": [types.View(preset=9)]}, "view"),
        ({"views": [types.View(number=1.5)]}, "1.5"),
        ({"views": [types.View(number=float("nan"))]}, "nan"),
        ({"format": types.PIXEL_FORMAT_UNSPECIFIED}, "format"),
        ({"format": 77}, "77"),
        ({"format": types.PIXEL_FORMAT_JPEG, "jpeg_quality": 101}, "101"),
        ({"key": types.FrameKey(camera="no spaces")}, "no spaces"),
    ],
)
async def test_requests_that_make_no_sense_are_invalid_and_cost_nothing(
    decoder, codec, fields, message
):
    fields = fields if "key" in fields else {"stream": codec.encode(picture()), **fields}
    error = await refusal(decoder.decode(**fields))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in error.details()
    assert codec.calls["decode_latents"] == 0


async def test_a_request_without_a_source_is_invalid(decoder):
    error = await refusal(decoder.decode())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unknown_key_is_not_found(decoder):
    error = await refusal(decoder.decode(key=types.FrameKey(camera="gate", epoch=9, sequence=1)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "gate/9/1" in error.details()


DAMAGE = {
    "truncated": lambda stream: stream[:-1],
    "header only": lambda stream: stream[:32],
    "flipped bit": lambda stream: stream[:-9] + bytes([stream[-9] ^ 1]) + stream[-8:],
    "trailing byte": lambda stream: stream + b"\0",
    "random bytes": lambda stream: random.Random(7).randbytes(len(stream)),
    "empty": lambda stream: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_damage_is_refused_and_the_next_request_is_served(decoder, codec, damage):
    stream = codec.encode(picture())
    error = await refusal(decoder.decode(stream=damage(stream)))
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DATA_LOSS)
    answer = await decoder.decode(stream=stream)
    np.testing.assert_array_equal(answer.pixels[0], picture())


async def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path, codec):
    async with decoding(tmp_path, codec, max_pixels=100) as decoder:
        error = await refusal(decoder.decode(stream=codec.encode(picture(10, 11))))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "100 pixels" in error.details()
    assert codec.calls["decode_latents"] == 0


async def test_a_frame_without_its_model_is_stored_and_cannot_be_decoded(decoder):
    foreign = FakeCodec(FakeModel("other", latents_id=b"otherone"))
    sent = frame(foreign.encode(picture()))
    (response,) = await decoder.ingest(sent)
    assert response.result == pb.INGEST_RESULT_STORED
    assert not response.decodable
    error = await refusal(decoder.decode(key=sent.key))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert b"otherone".hex() in error.details()
    (listed,) = (await decoder.stub.ListFrames(pb.ListFramesRequest(camera="gate"))).frames
    assert not listed.decodable


async def test_the_model_is_chosen_by_the_stream_or_by_name(tmp_path):
    first, other = FakeCodec(), FakeCodec(FakeModel("other", latents_id=b"otherone"))
    twin = FakeCodec(FakeModel("twin", latents_id=b"otherone", sha256="7" * 64))
    async with decoding(tmp_path, first, other, twin) as decoder:
        stream = other.encode(picture())
        assert (await decoder.decode(stream=stream)).start.model == "other"
        chosen = await decoder.decode(stream=stream, model="twin")
        assert (chosen.start.model, chosen.start.model_sha256) == ("twin", "7" * 64)
        for wrong in ("fake", "missing"):
            error = await refusal(decoder.decode(stream=stream, model=wrong))
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        listed = await decoder.stub.ListModels(types.ListModelsRequest())
    assert [model.name for model in listed.models] == ["fake", "other", "twin"]


async def test_a_full_queue_is_resource_exhausted_and_says_when_to_come_back(tmp_path, codec):
    stream = codec.encode(picture())
    codec.go_on.clear()
    async with decoding(tmp_path, codec, max_batch=1, max_queued=0) as decoder:
        inside = [asyncio.create_task(decoder.decode(stream=stream)) for _ in range(3)]
        await asyncio.to_thread(codec.held_up.wait)
        error = await refusal(decoder.decode(stream=stream))
        codec.go_on.set()
        await asyncio.gather(*inside)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0


async def test_cancelled_work_leaves_the_queue_before_it_runs(tmp_path, codec):
    stream, other = codec.encode(picture()), codec.encode(picture(seed=1))
    codec.go_on.clear()
    async with decoding(tmp_path, codec, threads=1) as decoder:
        first = asyncio.create_task(decoder.decode(stream=stream))
        await asyncio.to_thread(codec.held_up.wait)
        second = decoder.stub.Decode(order(stream=other))
        # One connection keeps its order: an answer to a later call means this one has arrived.
        await decoder.stub.ListModels(types.ListModelsRequest())
        second.cancel()
        await decoder.stub.ListModels(types.ListModelsRequest())
        codec.go_on.set()
        await first
        await decoder.decode(stream=codec.encode(picture(seed=2)))
    assert codec.calls["decode_latents"] == 2


async def test_the_event_loop_is_free_while_pictures_are_decoded(decoder, codec):
    stream = codec.encode(picture())
    codec.go_on.clear()
    busy = asyncio.create_task(decoder.decode(stream=stream))
    await asyncio.to_thread(codec.held_up.wait)
    assert (await decoder.stub.ListCameras(pb.ListCamerasRequest())).cameras == []
    codec.go_on.set()
    await busy


async def test_a_decode_stream_answers_in_order_and_survives_bad_items(decoder, codec):
    good = [codec.encode(picture(seed=seed)) for seed in range(4)]
    streams = [good[0], b"garbage", good[1], good[2][:-1], good[3]]
    requests = [
        pb.DecodeStreamRequest(request_id=100 + number, request=order(stream=stream))
        for number, stream in enumerate(streams)
    ]
    parts: dict[int, list[pb.DecodeResponse]] = {}
    failures = {}
    async for response in decoder.stub.DecodeStream(iter(requests)):
        if response.WhichOneof("outcome") == "failure":
            failures[response.request_id] = response.failure.code
            parts.setdefault(response.request_id, [])
        else:
            parts.setdefault(response.request_id, []).append(response.response)
    assert list(parts) == [100, 101, 102, 103, 104]
    assert failures == {
        101: grpc.StatusCode.INVALID_ARGUMENT.value[0],
        103: grpc.StatusCode.DATA_LOSS.value[0],
    }
    for number, seed in ((100, 0), (102, 1), (104, 3)):
        np.testing.assert_array_equal(pictures(parts[number]).pixels[0], picture(seed=seed))


def decode(stub, request):
    return stub.Decode(request)


def decode_stream(stub, request):
    return stub.DecodeStream(iter([pb.DecodeStreamRequest(request=request)]))


@pytest.mark.parametrize("call", [decode, decode_stream])
async def test_a_reader_that_stops_holds_up_its_own_call_only(tmp_path, codec, call):
    large, small = codec.encode(picture(1024, 1024)), codec.encode(picture())
    settings = {"max_batch": 1, "views_cache_bytes": 0, "drain_seconds": 0}
    async with decoding(tmp_path, codec, **settings) as decoder:
        stalled = call(decoder.stub, order(stream=large, views=[HUMAN] * 16))
        await stalled.read()
        # The queue is fair: a call that ran on unread would have its 16 turns among these.
        for _ in range(32):
            await decoder.decode(stream=small)
        assert codec.calls["synthesise"] < 16 + 32
        stalled.cancel()


async def test_a_call_that_was_let_in_is_not_refused_half_way(codec):
    limits = BatchLimits(max_items=1, max_pixels=1, delay_seconds=0)
    renderer = Renderer(
        threads=1,
        in_company=9,
        max_queued=0,
        limits=limits,
        latents_cache_bytes=0,
        views_cache_bytes=0,
    )
    source = Source(codec, codec.encode(picture()), 1)
    views = Order([0.0, 1.0], types.PIXEL_FORMAT_RGB, jpeg_quality=0)
    rendering = Rendering(renderer, source, views)
    others = rendering.others()
    assert (await rendering.first()).view == 0.0
    async with AsyncExitStack() as full:
        for _ in range(3):
            await full.enter_async_context(renderer.admitted(source))
        with pytest.raises(Overloaded):
            await Rendering(renderer, source, views).first()
        second = asyncio.create_task(anext(others))
        await asyncio.sleep(0)
        assert renderer.queue_length == 1
    assert (await second).view == 1.0
    renderer.close()


@pytest.mark.parametrize("method", ["Decode", "GetFrame"])
async def test_the_log_line_of_a_refusal_names_its_frame(tmp_path, method):
    key = types.FrameKey(camera="gate", epoch=9, sequence=1)
    with log_lines() as lines:
        async with decoding(tmp_path) as decoder:
            if method == "Decode":
                await refusal(decoder.decode(key=key))
            else:
                await refusal(decoder.stub.GetFrame(pb.GetFrameRequest(key=key)))
    (line,) = (line for line in lines if f"{method} refused: NOT_FOUND" in line)
    assert line.endswith("camera=gate epoch=9 sequence=1")
