"""Watching: nothing is missed, nothing comes twice, and a cursor goes on where it was."""

from __future__ import annotations

import asyncio
import sqlite3

import grpc
import pytest

from tests.decoder.harness import decoding, frame
from tests.decoder.store_frames import until
from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1 import types_pb2 as types

STREAM = FakeCodec().encode(picture())
GAP = types.Gap(
    camera="gate",
    epoch=1,
    first_sequence=2,
    last_sequence=4,
    reason=types.GAP_REASON_SPOOL_FULL,
)


@pytest.fixture
async def decoder(tmp_path):
    async with decoding(tmp_path) as running:
        yield running


def watch(decoder, **fields):
    chosen = {"mode": types.WATCH_MODE_EVERY, **fields}
    if "cursor" not in chosen:
        chosen.setdefault("start", types.WATCH_START_OLDEST)
    return decoder.stub.Watch(pb.WatchFramesRequest(**chosen))


async def sequences(call, count):
    return [(await call.read()).frame.key.sequence for _ in range(count)]


async def test_what_is_stored_comes_first_and_what_is_stored_later_follows(decoder):
    await decoder.ingest(frame(STREAM, sequence=0), frame(STREAM, sequence=1), GAP)
    call = watch(decoder)
    assert await sequences(call, 2) == [0, 1]
    assert (await call.read()).gap == GAP
    await decoder.ingest(frame(STREAM, sequence=5))
    assert await sequences(call, 1) == [5]
    call.cancel()


async def test_a_watch_from_now_begins_when_its_metadata_arrive(decoder):
    await decoder.ingest(frame(STREAM, sequence=0))
    call = watch(decoder, start=types.WATCH_START_NOW)
    await call.initial_metadata()
    await decoder.ingest(frame(STREAM, sequence=1))
    assert await sequences(call, 1) == [1]
    call.cancel()


async def test_a_cursor_goes_on_behind_its_response_also_after_a_restart(tmp_path):
    async with decoding(tmp_path) as decoder:
        await decoder.ingest(*(frame(STREAM, sequence=number) for number in range(5)))
        call = watch(decoder)
        await sequences(call, 2)
        cursor = (await call.read()).cursor
        call.cancel()
    async with decoding(tmp_path) as decoder:
        call = watch(decoder, cursor=cursor)
        assert await sequences(call, 2) == [3, 4]
        call.cancel()


async def test_only_the_cameras_asked_for_are_reported(decoder):
    call = watch(decoder, cameras=["yard", "door"])
    await decoder.ingest(
        frame(STREAM, "gate", 1), frame(STREAM, "door", 2), frame(STREAM, "yard", 3)
    )
    assert await sequences(call, 2) == [2, 3]
    call.cancel()


async def test_more_than_one_page_of_frames_comes_whole_and_in_order(decoder):
    await decoder.ingest(*(frame(STREAM, sequence=number) for number in range(250)))
    call = watch(decoder)
    assert await sequences(call, 250) == list(range(250))
    call.cancel()


async def test_newest_passes_over_older_frames_of_each_camera(decoder):
    await decoder.ingest(
        frame(STREAM, "gate", 1), frame(STREAM, "yard", 2), GAP, frame(STREAM, "gate", 3)
    )
    call = watch(decoder, mode=types.WATCH_MODE_NEWEST)
    assert await sequences(call, 2) == [2, 3]
    call.cancel()


async def test_streams_come_along_where_they_are_asked_for(decoder):
    await decoder.ingest(frame(STREAM))
    with_stream, without = watch(decoder, include_stream=True), watch(decoder)
    assert (await with_stream.read()).stream == STREAM
    assert (await without.read()).stream == b""
    with_stream.cancel()
    without.cancel()


async def test_a_frame_damaged_on_disk_is_data_loss_and_a_gap_in_a_watch(tmp_path):
    async with decoding(tmp_path) as decoder:
        await decoder.ingest(frame(STREAM, sequence=0), frame(STREAM, sequence=1))
        with sqlite3.connect(tmp_path / "frames.sqlite") as vandal:
            vandal.execute("UPDATE frame SET stream = x'00' WHERE position = 1")
        vandal.close()
        damaged = frame(STREAM).key
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decoder.stub.GetFrame(pb.GetFrameRequest(key=damaged))
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        call = watch(decoder, include_stream=True)
        assert (await call.read()).gap == types.Gap(
            camera="gate", epoch=1, reason=types.GAP_REASON_DAMAGED
        )
        assert (await call.read()).stream == STREAM
        # And once more behind all others, for readers who had the frame already.
        assert (await call.read()).gap.reason == types.GAP_REASON_DAMAGED
        call.cancel()


async def test_a_cursor_goes_on_over_what_retention_removed_and_is_told_of_it(tmp_path):
    async with decoding(tmp_path) as decoder:
        await decoder.ingest(*(frame(STREAM, sequence=number) for number in range(6)))
        call = watch(decoder)
        cursor = (await call.read()).cursor
        call.cancel()
    async with decoding(tmp_path, retention_camera_bytes=2 * len(STREAM)) as decoder:

        async def is_removed():
            cameras = await decoder.stub.ListCameras(pb.ListCamerasRequest())
            return cameras.cameras[0].num_frames == 2

        await until(is_removed)
        call = watch(decoder, cursor=cursor)
        gap = (await call.read()).gap
        assert (gap.reason, gap.last_sequence) == (types.GAP_REASON_RETENTION, 3)
        assert await sequences(call, 2) == [4, 5]
        call.cancel()


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": types.WATCH_MODE_UNSPECIFIED},
        {"mode": 9},
        {"start": types.WATCH_START_UNSPECIFIED},
        {"cursor": b""},
        {"cursor": b"from somewhere else"},
        {"cursor": b"\x01" + bytes(16)},
    ],
)
async def test_watches_that_make_no_sense_are_invalid(decoder, fields):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch(decoder, **fields).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cursor_ahead_of_the_store_is_refused(decoder):
    await decoder.ingest(frame(STREAM))
    call = watch(decoder)
    cursor = (await call.read()).cursor
    call.cancel()
    ahead = cursor[:-1] + bytes([cursor[-1] + 1])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch(decoder, cursor=ahead).read()
    assert "the store ends at 1" in caught.value.details()


async def test_draining_ends_watches_at_once(tmp_path):
    async with decoding(tmp_path, drain_seconds=60) as decoder:
        call = watch(decoder)
        await call.initial_metadata()
        decoder.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(50):
            await asyncio.shield(decoder.serving)
