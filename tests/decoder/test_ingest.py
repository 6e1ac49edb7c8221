"""Storing through the service: every item gets an answer, and what is acknowledged is there."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.decoder.harness import decoding, frame, request
from tests.decoder.store_frames import until
from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1 import types_pb2 as types

STREAM = FakeCodec().encode(picture())
OTHER = FakeCodec().encode(picture(seed=1))


@pytest.fixture
async def decoder(tmp_path):
    async with decoding(tmp_path) as running:
        yield running


def code(response):
    assert response.WhichOneof("outcome") == "failure", response
    return response.failure.code


async def test_a_stored_frame_is_returned_byte_for_byte(decoder):
    sent = frame(STREAM, "front.door_2-b", 2**64 - 1, epoch=2**64 - 1)
    (response,) = await decoder.ingest(sent)
    assert (response.key, response.result) == (sent.key, pb.INGEST_RESULT_STORED)
    assert response.decodable
    answer = await decoder.stub.GetFrame(pb.GetFrameRequest(key=sent.key))
    assert answer.frame == sent


async def test_items_are_answered_in_the_order_they_came(decoder):
    frames = [frame(STREAM, sequence=number) for number in range(50)]
    responses = await decoder.ingest(*frames)
    assert [response.key for response in responses] == [sent.key for sent in frames]


async def test_the_same_frame_again_is_a_duplicate(decoder):
    sent = frame(STREAM)
    first, again = await decoder.ingest(sent, sent)
    assert first.result == pb.INGEST_RESULT_STORED
    assert again.result == pb.INGEST_RESULT_DUPLICATE
    (later,) = await decoder.ingest(sent)
    assert later.result == pb.INGEST_RESULT_DUPLICATE


async def test_other_bytes_for_a_taken_key_already_exist_and_the_call_goes_on(decoder):
    first, conflict, after = await decoder.ingest(
        frame(STREAM), frame(OTHER), frame(OTHER, sequence=1)
    )
    assert first.result == after.result == pb.INGEST_RESULT_STORED
    assert code(conflict) == grpc.StatusCode.ALREADY_EXISTS.value[0]
    kept = await decoder.stub.GetFrame(pb.GetFrameRequest(key=first.key))
    assert kept.frame.stream == STREAM


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", "DATA_LOSS"),
        (b"not a stream at all, by its first bytes", "INVALID_ARGUMENT"),
        (STREAM[:-1], "DATA_LOSS"),
        (STREAM + b"x", "DATA_LOSS"),
        (STREAM[:-1] + bytes([STREAM[-1] ^ 8]), "DATA_LOSS"),
    ],
)
async def test_damaged_streams_are_refused_and_not_stored(decoder, stream, expected):
    (response,) = await decoder.ingest(frame(stream))
    assert code(response) == grpc.StatusCode[expected].value[0]
    assert not (await decoder.stub.ListCameras(pb.ListCamerasRequest())).cameras


NAMELESS = frame(STREAM, "")
TIMELESS = types.Frame(key=types.FrameKey(camera="gate"), stream=STREAM)
FUTURE = types.Frame(
    key=types.FrameKey(camera="gate"), capture_time=Timestamp(seconds=2**35), stream=STREAM
)
BACKWARDS = types.Gap(
    camera="gate", first_sequence=2, last_sequence=1, reason=types.GAP_REASON_SPOOL_FULL
)
REASONLESS = types.Gap(camera="gate", first_sequence=1, last_sequence=1)


@pytest.mark.parametrize(
    "item",
    [
        pb.IngestRequest(),
        request(NAMELESS),
        request(frame(STREAM, "x" * 129)),
        request(frame(STREAM, "line\nbreak")),
        request(TIMELESS),
        request(FUTURE),
        request(BACKWARDS),
        request(REASONLESS),
    ],
)
async def test_items_that_make_no_sense_are_invalid_and_the_call_goes_on(decoder, item):
    call = decoder.stub.Ingest(iter([item, request(frame(STREAM, "after"))]))
    refused, after = [response async for response in call]
    assert code(refused) == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert after.result == pb.INGEST_RESULT_STORED


async def test_a_gap_is_stored_once_and_answered_by_its_first_frame(decoder):
    gap = types.Gap(
        camera="gate",
        epoch=3,
        first_sequence=4,
        last_sequence=6,
        reason=types.GAP_REASON_SPOOL_FULL,
    )
    first, again = await decoder.ingest(gap, gap)
    assert first.key == types.FrameKey(camera="gate", epoch=3, sequence=4)
    assert (first.result, first.decodable) == (pb.INGEST_RESULT_STORED, True)
    assert again.result == pb.INGEST_RESULT_DUPLICATE


async def test_a_gap_that_only_the_store_can_know_of_is_invalid(decoder):
    gap = types.Gap(camera="gate", epoch=1, last_sequence=9, reason=types.GAP_REASON_RETENTION)
    refused, after = await decoder.ingest(gap, frame(STREAM))
    assert code(refused) == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert after.result == pb.INGEST_RESULT_STORED


@pytest.mark.parametrize("reason", [types.GAP_REASON_SPOOL_FULL, types.GAP_REASON_DAMAGED])
async def test_gaps_of_an_encoders_spool_are_stored(decoder, reason):
    gap = types.Gap(camera="gate", epoch=1, last_sequence=9, reason=reason)
    (answer,) = await decoder.ingest(gap)
    assert answer.result == pb.INGEST_RESULT_STORED


async def test_a_full_store_answers_when_to_come_back_and_goes_on_reading(tmp_path):
    async with decoding(tmp_path, max_store_bytes=200_000) as decoder:
        answers = await decoder.ingest(*(frame(STREAM, sequence=n) for n in range(300)))
        kept = [answer for answer in answers if answer.HasField("result")]
        refused = answers[len(kept) :]
        assert kept
        assert {code(answer) for answer in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}
        assert all(answer.failure.retry_after_seconds == 1 for answer in refused)
        page = await decoder.stub.ListFrames(pb.ListFramesRequest(camera="gate", page_size=1000))
        assert [stored.key for stored in page.frames] == [answer.key for answer in kept]
        (again,) = await decoder.ingest(frame(STREAM))
        assert again.result == pb.INGEST_RESULT_DUPLICATE


async def test_a_frame_that_retention_removed_is_a_duplicate_and_not_found(tmp_path):
    async with decoding(tmp_path, retention_camera_bytes=len(STREAM)) as decoder:
        await decoder.ingest(frame(STREAM, sequence=0), frame(STREAM, sequence=1))

        async def is_removed():
            cameras = await decoder.stub.ListCameras(pb.ListCamerasRequest())
            return cameras.cameras[0].num_frames == 1

        await until(is_removed)
        (again,) = await decoder.ingest(frame(STREAM, sequence=0))
        assert again.result == pb.INGEST_RESULT_DUPLICATE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decoder.stub.GetFrame(pb.GetFrameRequest(key=frame(STREAM, sequence=0).key))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "retention" in caught.value.details()


async def test_a_call_that_ends_early_takes_nothing_from_another_one(decoder):
    leaving, staying = decoder.stub.Ingest(), decoder.stub.Ingest()
    for number in range(16):
        await leaving.write(request(frame(STREAM, "yard", number)))
        await staying.write(request(frame(STREAM, "gate", number)))
    leaving.cancel()
    await staying.done_writing()
    answers = [answer async for answer in staying]
    assert [answer.result for answer in answers] == [pb.INGEST_RESULT_STORED] * 16
    again = await decoder.ingest(*(frame(STREAM, "yard", number) for number in range(16)))
    assert all(answer.HasField("result") for answer in again)
    page = await decoder.stub.ListFrames(pb.ListFramesRequest(camera="yard"))
    assert [stored.key.sequence for stored in page.frames] == list(range(16))


async def test_cameras_and_frames_are_listed_in_pages(decoder):
    for camera in ("gate", "yard"):
        await decoder.ingest(*(frame(STREAM, camera, number) for number in range(5)))
    names, token = [], ""
    while True:
        page = await decoder.stub.ListCameras(pb.ListCamerasRequest(page_size=1, page_token=token))
        names += [(camera.name, camera.num_frames, camera.num_bytes) for camera in page.cameras]
        token = page.next_page_token
        if not token:
            break
    assert names == [("gate", 5, 5 * len(STREAM)), ("yard", 5, 5 * len(STREAM))]
    sequences, token = [], ""
    while True:
        page = await decoder.stub.ListFrames(
            pb.ListFramesRequest(camera="yard", newest_first=True, page_size=2, page_token=token)
        )
        sequences += [stored.key.sequence for stored in page.frames]
        token = page.next_page_token
        if not token:
            break
    assert sequences == [4, 3, 2, 1, 0]


async def test_frames_are_chosen_by_sequence_and_time(decoder):
    await decoder.ingest(*(frame(STREAM, sequence=n, seconds=n) for n in range(6)))

    async def listed(**fields):
        page = await decoder.stub.ListFrames(pb.ListFramesRequest(camera="gate", **fields))
        return [stored.key.sequence for stored in page.frames]

    assert await listed(epoch=1, first_sequence=2, last_sequence=3) == [2, 3]
    assert await listed(epoch=0) == []
    from_two = types.TimeRange(start=Timestamp(seconds=2), end=Timestamp(seconds=4))
    assert await listed(capture_time=from_two) == [2, 3]


@pytest.mark.parametrize(
    "asked",
    [
        pb.ListFramesRequest(),
        pb.ListFramesRequest(camera="gate", first_sequence=1),
        pb.ListFramesRequest(camera="gate", page_token="garbage!"),
        pb.ListFramesRequest(camera="gate", page_token="AAAA"),
    ],
)
async def test_lists_of_nonsense_are_invalid(decoder, asked):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await decoder.stub.ListFrames(asked)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page_token_is_good_for_its_own_query_only(decoder):
    await decoder.ingest(*(frame(STREAM, sequence=number) for number in range(3)))
    page = await decoder.stub.ListFrames(pb.ListFramesRequest(camera="gate", page_size=1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await decoder.stub.ListFrames(
            pb.ListFramesRequest(camera="gate", newest_first=True, page_token=page.next_page_token)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "query" in caught.value.details()


async def test_draining_answers_what_was_sent_and_ends_an_open_ingest(tmp_path):
    async with decoding(tmp_path, drain_seconds=60) as decoder:
        call = decoder.stub.Ingest()
        await call.write(request(frame(STREAM)))
        assert (await call.read()).result == pb.INGEST_RESULT_STORED
        decoder.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(50):
            await asyncio.shield(decoder.serving)
