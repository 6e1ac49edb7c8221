"""A client whose readers stop holds its share of pixels with what they do not take, and no more."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from tests.decoder.harness import decoding, order, pictures, ready, started
from tests.decoder.test_slow_readers import resident_bytes
from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm.v1.types_pb2 import View
from ugicm_servicekit.channel import connect

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
_SIDE = 2048
_PICTURE_BYTES = 3 * _SIDE**2
_SHARE = 2
_NUM_CALLS = 24


@pytest.fixture
def codec():
    return FakeCodec()


@pytest.fixture
def large(codec):
    return codec.encode(np.zeros((_SIDE, _SIDE, 3), np.uint8))


@asynccontextmanager
async def sharing(tmp_path, *codecs, **settings):
    """Serve with a share of ``_SHARE`` large pictures, of which none is kept."""
    pixels = _SHARE * _SIDE**2
    async with decoding(
        tmp_path, *codecs, max_pixels_per_client=pixels, views_cache_bytes=0, **settings
    ) as decoder:
        yield decoder


async def stalled(call):
    """Read an answer's first part only; returns the call, or why it was refused."""
    try:
        await anext(aiter(call))
    except grpc.aio.AioRpcError as error:
        return error
    return call


async def rest(call):
    return [part async for part in call]


async def read_into(parts, call):
    """Keep what comes before an error, too."""
    async for part in call:
        parts.append(part)


def refusals(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]


async def served(decoder, stream):
    """Wait until a picture is decoded: what was cancelled may still be under way at the server."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await decoder.decode(stream=stream)
            except grpc.aio.AioRpcError as error:
                assert error.code() is EXHAUSTED
                await asyncio.sleep(0.01)


def items(stream, number):
    """Ask for a view each, so that each is synthesised."""
    requests = [order(stream=stream, views=[View(number=one / 8)]) for one in range(number)]
    return [pb.DecodeStreamRequest(request_id=one, request=r) for one, r in enumerate(requests)]


async def test_memory_of_stalled_calls_is_bounded_by_the_share(tmp_path, large):
    flags = ("--port=0", f"--store={tmp_path / 'frames.sqlite'}", "--views-cache-bytes=0")
    share = f"--max-pixels-per-client={_SHARE * _SIDE**2}"
    async with (
        started("-m", "tests.decoder.fake_service", *flags, share) as (process, address),
        connect(address) as channel,
    ):
        await ready(channel)
        stub = DecoderServiceStub(channel)
        await rest(stub.Decode(order(stream=large)))
        before = resident_bytes(process)
        calls = [stub.Decode(order(stream=large)) for _ in range(_NUM_CALLS)]
        outcomes = await asyncio.gather(*map(stalled, calls))
        grown = resident_bytes(process) - before
        assert len(refusals(outcomes)) == _NUM_CALLS - _SHARE
        # Beside each picture that waits there may be its array, and what gRPC has of it.
        assert grown < 3 * _SHARE * _PICTURE_BYTES < _NUM_CALLS * _PICTURE_BYTES / 2
        for call in calls:
            call.cancel()


async def test_stalled_calls_hold_the_share_until_their_reader_goes_on(tmp_path, large):
    async with sharing(tmp_path) as decoder:
        calls = [await stalled(decoder.stub.Decode(order(stream=large))) for _ in range(_SHARE)]
        assert not refusals(calls)
        refused = await stalled(decoder.stub.Decode(order(stream=large)))
        assert refused.code() is EXHAUSTED
        assert "pixels under way" in refused.details()
        assert dict(refused.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"

        await rest(calls[0])
        again = await stalled(decoder.stub.Decode(order(stream=large)))
        assert not refusals([again])
        for call in (calls[1], again):
            await rest(call)
        assert len((await decoder.decode(stream=large)).data[0]) == _PICTURE_BYTES


async def test_cancelled_calls_give_their_share_back(tmp_path, large):
    async with sharing(tmp_path) as decoder:
        calls = [await stalled(decoder.stub.Decode(order(stream=large))) for _ in range(_SHARE)]
        for call in calls:
            call.cancel()
        both = [await served(decoder, large) for _ in range(_SHARE)]
        assert len(both) == _SHARE


async def test_a_stalled_stream_holds_what_it_has_ready_and_is_not_refused_for_it(
    tmp_path, codec, large
):
    """Its items beyond the share wait for their turn instead."""
    number = 4
    async with sharing(tmp_path, codec, decode_ahead=number) as decoder:
        stream = decoder.stub.DecodeStream(iter(items(large, number)))
        first = await anext(aiter(stream))
        await begun(decoder, codec)

        answers = [[] for _ in range(number)]
        for part in [first, *await rest(stream)]:
            assert part.WhichOneof("outcome") == "response", part.failure
            answers[part.request_id].append(part.response)
        for answer in answers:
            assert len(pictures(answer).data[0]) == _PICTURE_BYTES
        await decoder.decode(stream=large)


async def begun(decoder, codec):
    """Wait until a stream holds the whole share; a call has no room beside it."""
    async with asyncio.timeout(30):
        while codec.calls["synthesise"] < _SHARE:  # noqa: ASYNC110 - it works on threads
            await asyncio.sleep(0.01)
    refused = await stalled(decoder.stub.Decode(order(stream=codec.encode(picture()))))
    assert refused.code() is EXHAUSTED
    assert "pixels under way" in refused.details()


async def test_a_stream_whose_ready_items_nobody_reads_gives_all_back_when_cancelled(
    tmp_path, codec, large
):
    async with sharing(tmp_path, codec, decode_ahead=_SHARE) as decoder:
        stream = decoder.stub.DecodeStream(iter(items(large, _SHARE)))
        await anext(aiter(stream))
        await begun(decoder, codec)
        stream.cancel()
        await served(decoder, large)
        calls = [await stalled(decoder.stub.Decode(order(stream=large))) for _ in range(_SHARE)]
        assert not refusals(calls)
        for call in calls:
            await rest(call)


async def test_an_item_for_which_other_calls_leave_no_room_fails_and_its_stream_goes_on(
    tmp_path, large
):
    async with sharing(tmp_path) as decoder:
        calls = [await stalled(decoder.stub.Decode(order(stream=large))) for _ in range(_SHARE)]
        go_on = asyncio.Event()

        async def asked():
            first, second = items(large, 2)
            yield first
            await go_on.wait()
            yield second

        stream = aiter(decoder.stub.DecodeStream(asked()))
        refused = (await anext(stream)).failure
        assert refused.code == EXHAUSTED.value[0]
        assert refused.retry_after_seconds == 1
        for call in calls:
            await rest(call)
        go_on.set()
        parts = [part.response async for part in stream]
        assert len(pictures(parts).data[0]) == _PICTURE_BYTES


async def test_a_stopping_decoder_still_answers_what_holds_the_share(tmp_path, codec, large):
    async with sharing(tmp_path, codec, decode_ahead=_SHARE) as decoder:
        stream = decoder.stub.DecodeStream(iter(items(large, _SHARE)))
        parts = [await anext(aiter(stream))]
        await begun(decoder, codec)
        decoder.server.stop()
        with pytest.raises(grpc.aio.AioRpcError, match="is stopping"):
            await read_into(parts, stream)
        ended = [part for part in parts if part.response.WhichOneof("part") == "statistics"]
        assert [part.request_id for part in ended] == list(range(_SHARE))
