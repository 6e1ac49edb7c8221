"""Watching cameras: every frame is answered, whatever becomes of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import grpc
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import (
    CAPTURE_TIME,
    MACHINE,
    FixedDecoder,
    Refusal,
    analyzing,
    decoding,
    key,
    rgb,
    stored,
)
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import decoder_pb2
from ugicm.v1 import types_pb2 as types
from ugicm_analytics.watching import newest_of_each_camera

GREY = np.full((4, 6, 3), 51, np.uint8)


@pytest.fixture
def decoder():
    return FixedDecoder(dict.fromkeys(range(100), GREY))


@pytest.fixture
def brightness():
    return Brightness()


@pytest.fixture
async def analytics(decoder, brightness):
    analyzers = {"brightness": brightness}
    async with (
        decoding(decoder) as address,
        analyzing(analyzers, decoder=address, threads=1) as running,
    ):
        yield running


def request(**fields):
    chosen = {
        "mode": types.WATCH_MODE_EVERY,
        "options": pb.AnalyzeOptions(view=MACHINE),
        **fields,
    }
    if "cursor" not in chosen:
        chosen.setdefault("start", types.WATCH_START_OLDEST)
    return pb.WatchResultsRequest(**chosen)


async def sequences(call, count):
    return [(await call.read()).analysis.key.sequence for _ in range(count)]


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return caught.value.code(), caught.value.details()


async def test_results_come_with_the_cursor_behind_their_frame(analytics, decoder):
    stub, _ = analytics
    call = stub.Watch(request())
    decoder.store(0)
    response = await call.read()
    assert response.cursor == b"gate-0"
    assert response.analysis.key == key(0)
    assert response.analysis.capture_time == CAPTURE_TIME
    assert response.analysis.view == 1.0
    assert response.analysis.results[0].classifications[0].score == 0.2
    decoder.store(1)
    assert await sequences(call, 1) == [1]
    call.cancel()


async def test_the_decoder_is_asked_from_the_same_place_for_the_same_cameras(analytics, decoder):
    stub, _ = analytics
    for chosen in ({"cursor": b"gate-4"}, {"start": types.WATCH_START_NOW}):
        call = stub.Watch(request(cameras=["gate", "yard"], **chosen))
        await call.initial_metadata()
        call.cancel()
        expected = decoder_pb2.WatchFramesRequest(
            cameras=["gate", "yard"], mode=types.WATCH_MODE_EVERY, **chosen
        )
        assert decoder.watches[-1] == expected


async def test_gaps_are_passed_on(analytics, decoder):
    stub, _ = analytics
    gap = types.Gap(camera="gate", epoch=1, first_sequence=2, last_sequence=4, reason=1)
    decoder.events.put_nowait(decoder_pb2.WatchFramesResponse(cursor=b"c", gap=gap))
    call = stub.Watch(request())
    assert await call.read() == pb.WatchResultsResponse(cursor=b"c", gap=gap)
    call.cancel()


async def test_a_frame_that_cannot_be_decoded_is_reported_and_the_watch_goes_on(analytics, decoder):
    stub, _ = analytics
    decoder.pictures[1] = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "no model has its id")
    for sequence in range(3):
        decoder.store(sequence)
    call = stub.Watch(request())
    assert await sequences(call, 1) == [0]
    response = await call.read()
    assert response.cursor == b"gate-1"
    assert response.failed.key == key(1)
    assert response.failed.failure.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert response.failed.failure.message == "no model has its id"
    assert await sequences(call, 1) == [2]
    call.cancel()


async def test_a_frame_waits_for_a_decoder_that_is_full(analytics, decoder):
    stub, _ = analytics
    hint = (("grpc-retry-pushback-ms", "1"),)
    full = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, metadata=hint)
    decoder.pictures[0] = [full, full, GREY]
    decoder.store(0)
    call = stub.Watch(request())
    assert await sequences(call, 1) == [0]
    assert decoder.decoded == [0, 0, 0]
    call.cancel()


async def test_a_frame_that_waits_for_a_thread_is_not_decoded_again(
    decoder, brightness, monkeypatch
):
    waits, free = asyncio.Event(), asyncio.Event()

    async def sleep(seconds):
        waits.set()
        await free.wait()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    async with (
        decoding(decoder) as address,
        analyzing(
            {"brightness": brightness}, decoder=address, max_batch=1, max_queued=0
        ) as running,
    ):
        stub, _ = running
        with brightness.holding_up():
            other = asyncio.ensure_future(stub.Analyze(pb.AnalyzeRequest(picture=rgb(GREY))))
            await brightness.until_held_up()
            decoder.store(0)
            call = stub.Watch(request())
            await waits.wait()
        await other
        free.set()
        assert await sequences(call, 1) == [0]
        call.cancel()
    assert decoder.decoded == [0]


@pytest.mark.parametrize("mode", [types.WATCH_MODE_EVERY, types.WATCH_MODE_NEWEST])
async def test_a_watch_ends_when_the_decoder_goes_away(analytics, decoder, mode):
    stub, _ = analytics
    decoder.store(0)
    call = stub.Watch(request(mode=mode))
    assert await sequences(call, 1) == [0]
    decoder.events.put_nowait(Refusal(grpc.StatusCode.UNAVAILABLE))
    code, details = await refused(call)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "decoder" in details


async def test_a_frame_is_not_passed_over_because_the_decoder_goes_away(analytics, decoder):
    stub, _ = analytics
    decoder.pictures[0] = Refusal(grpc.StatusCode.UNAVAILABLE)
    decoder.store(0)
    code, _ = await refused(stub.Watch(request()))
    assert code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": pb.AnalyzeOptions()}, "view"),
        ({"options": pb.AnalyzeOptions(analyzers=[pb.AnalyzerChoice(name="dogs")])}, "dogs"),
        ({"mode": types.WATCH_MODE_UNSPECIFIED}, "a watch needs a mode"),
    ],
)
async def test_what_a_request_gets_wrong_is_named(analytics, fields, words):
    stub, _ = analytics
    code, details = await refused(stub.Watch(request(**fields)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details


async def test_the_newest_frame_of_each_camera_comes_next_when_the_reader_was_slow():
    busy, all_given = asyncio.Event(), asyncio.Event()

    async def events():
        yield stored(0, "gate")
        await busy.wait()
        for sequence in range(1, 20):
            yield stored(sequence, "gate")
            yield stored(sequence, "yard")
        all_given.set()

    async with aclosing(newest_of_each_camera(events())) as newest:
        first = await anext(newest)
        busy.set()
        await all_given.wait()
        others = [event async for event in newest]
    assert first.cursor == b"gate-0"
    assert [event.cursor for event in others] == [b"gate-19", b"yard-19"]


async def test_what_waits_of_quiet_cameras_comes_before_what_is_newer():
    async def events():
        for event in (stored(0, "gate"), stored(0, "yard"), stored(1, "gate")):
            yield event

    async with aclosing(newest_of_each_camera(events())) as newest:
        assert [event.cursor async for event in newest] == [b"yard-0", b"gate-1"]


async def test_a_watch_of_the_newest_frames_asks_the_decoder_for_them(analytics, decoder):
    stub, _ = analytics
    call = stub.Watch(request(mode=types.WATCH_MODE_NEWEST))
    decoder.store(0)
    assert await sequences(call, 1) == [0]
    decoder.store(1)
    assert await sequences(call, 1) == [1]
    assert decoder.watches[0].mode == types.WATCH_MODE_NEWEST
    call.cancel()


async def test_a_watch_ends_when_the_server_drains(analytics, decoder):
    stub, server = analytics
    decoder.store(0)
    call = stub.Watch(request())
    assert await sequences(call, 1) == [0]
    server.stop()
    code, _ = await refused(call)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_reader_that_leaves_takes_its_watch_of_the_decoder_along(analytics, decoder):
    stub, _ = analytics
    for mode in (types.WATCH_MODE_EVERY, types.WATCH_MODE_NEWEST):
        call = stub.Watch(request(mode=mode))
        await call.initial_metadata()
        decoder.ended.clear()
        call.cancel()
        await decoder.ended.wait()
