"""Frames that are spooled first: accepted without the decoder, and with it in order and once."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from tests.decoder.harness import decoding, ready, started
from tests.encoder.harness import encoding, item, key, raw
from tests.encoder.spools import digest, frame, spooling, waiting
from tests.fake_codec import FakeCodec, picture
from tests.in_process import process_as_it_was
from tests.ports import free_port
from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1 import encoder_pb2 as pb
from ugicm.v1.decoder_pb2_grpc import (
    DecoderServiceServicer,
    DecoderServiceStub,
    add_DecoderServiceServicer_to_server,
)
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_encoder.forwarding import Forwarder
from ugicm_encoder.link import Link
from ugicm_encoder.main import main
from ugicm_encoder.spool import SpoolFull
from ugicm_servicekit.admission import Admission
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.channel import connect, open_channel
from ugicm_servicekit.refused_frames import RefusedFrames

__all__ = ["process_as_it_was"]

MESSAGE_BYTES = 2**26
SPOOLED, DUPLICATE = pb.DELIVERY_SPOOLED, pb.DELIVERY_DUPLICATE


def request(sequence=0, seed=0, **fields):
    return pb.EncodeRequest(picture=raw(picture(seed=seed)), key=key(sequence), **fields)


async def events_to(stub, last):
    """Return the stored frames and gaps in the order of storing, up to the frame ``last``."""
    watch = stub.Watch(
        decoder_pb2.WatchFramesRequest(
            start=types_pb2.WATCH_START_OLDEST, mode=types_pb2.WATCH_MODE_EVERY
        )
    )
    found = []
    while found[-1:] != [last]:
        event = await watch.read()
        if event.WhichOneof("event") == "gap":
            found.append((event.gap.first_sequence, event.gap.last_sequence, event.gap.reason))
        else:
            found.append(event.frame.key.sequence)
    watch.cancel()
    return found


async def send(encoder, *sequences):
    return [(await encoder.stub.Encode(request(number))).delivery for number in sequences]


async def test_an_encoder_works_without_its_decoder_and_forwards_once_it_comes(tmp_path):
    spool, port = tmp_path / "spool", free_port()
    async with encoding(upstream=f"127.0.0.1:{port}", spool=spool) as encoder:
        assert await send(encoder, 0, 1) == [SPOOLED] * 2
    async with encoding(upstream=f"127.0.0.1:{port}", spool=spool) as encoder:
        assert await send(encoder, 2) == [SPOOLED]
        async with decoding(tmp_path, port=port) as decoder:
            # Behind those that waited.
            assert await send(encoder, 3) == [SPOOLED]
            assert await events_to(decoder.stub, 3) == [0, 1, 2, 3]
            answer = await decoder.stub.GetFrame(decoder_pb2.GetFrameRequest(key=key(1)))
            assert answer.frame.stream == FakeCodec().encode(picture())


async def test_a_frame_sent_again_is_known_without_being_coded_again(tmp_path):
    codec = FakeCodec()
    async with encoding(codec, upstream="127.0.0.1:1", spool=tmp_path) as encoder:
        await send(encoder, 0)
        again = await encoder.stub.Encode(request(0))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await encoder.stub.Encode(request(0, seed=1))
    assert again == pb.EncodeResponse(key=key(0), delivery=DUPLICATE)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert codec.calls["code"] == 1


async def test_pictures_of_a_stream_are_spooled_in_its_order(tmp_path):
    sizes = [(96, 96), (1, 1), (48, 48), (2, 2)] * 5
    items = [item(n, picture(*size), key=key(n)) for n, size in enumerate(sizes)]
    async with encoding(upstream="127.0.0.1:1", spool=tmp_path) as encoder:
        answers = [answer async for answer in encoder.stub.EncodeStream(iter(items))]
        alone = await encoder.stub.Encode(pb.EncodeRequest(picture=raw(picture())))
    assert {answer.response.delivery for answer in answers} == {SPOOLED}
    assert alone.delivery == pb.DELIVERY_RETURNED
    async with spooling(tmp_path) as spool:
        assert await waiting(spool) == list(range(20))


async def test_a_full_spool_is_resource_exhausted_and_says_when(tmp_path):
    settings = {"upstream": "127.0.0.1:1", "spool": tmp_path, "spool_bytes": 2**16}
    pixels = picture(100, 100)
    async with encoding(**settings) as encoder:
        items = [item(n, pixels, key=key(n)) for n in range(6)]
        answers = [answer async for answer in encoder.stub.EncodeStream(iter(items))]
    kinds = [answer.WhichOneof("outcome") for answer in answers]
    assert kinds == ["response"] * 2 + ["failure"] * 4
    for answer in answers[2:]:
        assert answer.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert 0 < answer.failure.retry_after_seconds <= 1


async def test_a_picture_that_found_the_encoder_busy_is_not_overtaken_by_the_next(
    tmp_path, monkeypatch
):
    refusal = Admission._refusal

    def patient(*arguments):
        error = refusal(*arguments)
        error.retry_after_seconds = 3
        return error

    monkeypatch.setattr(Admission, "_refusal", patient)
    codec = FakeCodec()
    settings = {"upstream": "127.0.0.1:1", "spool": tmp_path, "threads": 1, "max_queued": 0}
    async with encoding(codec, **settings) as encoder:
        codec.go_on.clear()
        first = asyncio.ensure_future(encoder.stub.Encode(request(0)))
        await asyncio.to_thread(codec.held_up.wait)
        # One is coded, and two may be on their way there.
        unnamed = pb.EncodeRequest(picture=raw(picture()))
        others = [asyncio.ensure_future(encoder.stub.Encode(unnamed)) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError, match="wait for encoding"):
            await encoder.stub.Encode(request(1))
        with pytest.raises(grpc.aio.AioRpcError, match="was refused a moment ago") as caught:
            await encoder.stub.Encode(request(2))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        codec.go_on.set()
        assert (await first).delivery == SPOOLED
        await asyncio.gather(*others)
        delivery = None
        while delivery is None:
            with suppress(grpc.aio.AioRpcError):
                (delivery,) = await send(encoder, 1)
        assert delivery == SPOOLED


async def test_dropped_frames_reach_the_store_as_a_gap_in_their_place(tmp_path):
    settings = {"spool_bytes": 2**16, "spool_full": SpoolFull.DROP_OLDEST, "forward_ahead": 4}
    port = free_port()
    async with encoding(
        upstream=f"127.0.0.1:{port}", spool=tmp_path / "spool", **settings
    ) as encoder:
        items = [item(n, picture(30, 30, seed=n), key=key(n)) for n in range(64)]
        answers = [answer async for answer in encoder.stub.EncodeStream(iter(items))]
        assert {answer.response.delivery for answer in answers} == {SPOOLED}
        async with decoding(tmp_path, port=port) as decoder:
            found = await events_to(decoder.stub, 63)
    gaps = [event for event in found if type(event) is tuple]
    assert {reason for _, _, reason in gaps} == {types_pb2.GAP_REASON_SPOOL_FULL}
    assert sum(last - first + 1 for first, last, _ in gaps) > 30
    # Frames and gaps follow each other, and leave nothing out.
    ends = [event[:2] if type(event) is tuple else (event, event) for event in found]
    assert [first for first, _ in ends] == [0, *[last + 1 for _, last in ends[:-1]]]


def test_a_spool_without_a_decoder_to_forward_to_is_a_wrong_setting(tmp_path, capfd):
    assert main(["--port=0", f"--spool={tmp_path}"]) == 2
    assert "--spool needs --upstream" in capfd.readouterr().err


class ScriptedDecoder(DecoderServiceServicer):
    """Answers each frame by what ``script`` says of its sequence and turn; stores otherwise."""

    def __init__(self, script):
        self.script = script
        self.turns = {}
        self.stored = []

    async def Ingest(self, request_iterator, context):
        async for request in request_iterator:
            sent = request.frame.key
            turn = self.turns[sent.sequence] = self.turns.get(sent.sequence, -1) + 1
            answer = decoder_pb2.IngestResponse(key=sent)
            plan = self.script.get(sent.sequence, [])[turn : turn + 1]
            if not plan:
                if sent.sequence not in self.stored:
                    self.stored.append(sent.sequence)
                answer.result = decoder_pb2.INGEST_RESULT_STORED
            elif plan[0] == "stall":
                await asyncio.Event().wait()
            elif plan[0] == "end":
                return
            elif plan[0] == "wrong key":
                answer.key.sequence = 99
                answer.result = decoder_pb2.INGEST_RESULT_STORED
            else:
                answer.failure.code = plan[0].value[0]
                answer.failure.message = "the decoder's words"
            yield answer


@asynccontextmanager
async def forwarding(path, script, **options):
    """Forward a spool of frames 0 to 5 to a ``ScriptedDecoder``; yields it, spool and waits."""
    decoder, waits = ScriptedDecoder(script), []
    server = grpc.aio.server()
    add_DecoderServiceServicer_to_server(decoder, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def sleep(seconds):
        waits.append(seconds)
        await asyncio.sleep(0)

    async with spooling(path) as spool, open_channel(f"127.0.0.1:{port}") as channel:
        for number in range(6):
            await spool.put(frame(number), digest())
        forwarder = Forwarder(
            spool,
            lambda: Link(DecoderServiceStub(channel), "test", max_request_bytes=MESSAGE_BYTES),
            RefusedFrames(path / "refused"),
            **{"ahead": 3, "timeout_seconds": 10, **options},
            backoff=Backoff(first_seconds=1, most_seconds=8, uniform=lambda low, high: high),
            sleep=sleep,
        )
        running = asyncio.create_task(forwarder.run())
        try:
            yield decoder, spool, waits
        finally:
            running.cancel()
            await asyncio.wait([running])
            await server.stop(None)


async def until_empty(spool):
    async with asyncio.timeout(20):
        while spool.usage.num_items:
            await spool.remove([])


FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
DOWN = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("hitch", [FULL, DOWN, "end", "stall", "wrong key"])
async def test_after_any_hitch_the_spool_is_emptied_and_waits_grow(tmp_path, hitch):
    script = {2: [hitch] * 3, 5: [hitch]}
    timeout = 1 if hitch == "stall" else 10
    async with forwarding(tmp_path, script, ahead=2, timeout_seconds=timeout) as (
        decoder,
        spool,
        waits,
    ):
        await until_empty(spool)
    assert sorted(decoder.stored) == list(range(6))
    # It begins anew after each answer that was a success.
    assert waits == [1, 2, 4, 1]


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.PERMISSION_DENIED,
    ],
)
async def test_what_is_refused_for_good_is_set_aside_and_holds_up_nobody(tmp_path, code, caplog):
    async with forwarding(tmp_path, {2: [code]}) as (decoder, spool, waits):
        await until_empty(spool)
    assert decoder.stored == [0, 1, 3, 4, 5]
    assert waits == []
    assert (tmp_path / "refused" / "gate.1.2.ugi").read_bytes() == b"a stream"
    record = json.loads((tmp_path / "refused" / "gate.1.2.json").read_text())
    assert record["key"] == "gate/1/2"
    assert record["status"] == code.name
    assert record["message"] == "the decoder's words"
    assert "refused frame gate/1/2 for good" in caplog.text


async def test_a_frame_that_the_decoder_always_breaks_on_is_set_aside_in_the_end(tmp_path):
    script = {2: [grpc.StatusCode.INTERNAL] * 99}
    async with forwarding(tmp_path, script) as (decoder, spool, waits):
        await until_empty(spool)
    assert sorted(decoder.stored) == [0, 1, 3, 4, 5]
    assert waits == [1, 2, 4, 8]
    assert (tmp_path / "refused" / "gate.1.2.ugi").exists()


def large(sequence, megabytes):
    """Return a frame whose stream a decoder can read, were it not so large."""
    stream = FakeCodec().encode(picture())
    return frame(sequence, stream=stream + bytes(megabytes * 2**20))


@pytest.mark.parametrize("is_first", [False, True], ids=["in between", "first"])
async def test_a_frame_larger_than_the_decoder_takes_is_set_aside_and_holds_up_nobody(
    tmp_path, is_first, caplog
):
    settings = {"upstream_seconds": 20.0}
    async with decoding(tmp_path, max_message_bytes=2**21) as decoder:
        address = f"127.0.0.1:{decoder.port}"
        async with spooling(tmp_path / "spool", max_bytes=2**26) as spool:
            stream = FakeCodec().encode(picture())
            for one in (frame(0, stream=stream), large(1, 3), frame(2, stream=stream)):
                await spool.put(one, digest())
            if is_first:
                await spool.remove([1])
        set_aside = RefusedFrames(tmp_path / "spool" / "refused")
        async with (
            encoding(upstream=address, spool=tmp_path / "spool", **settings),
            asyncio.timeout(30),
        ):
            found = await events_to(decoder.stub, 2)
            while not set_aside.list():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
    assert found == ([2] if is_first else [0, 2])
    (refused,) = set_aside.list()
    assert (refused.key.sequence, refused.status) == (1, "RESOURCE_EXHAUSTED")
    assert "takes at most 2097152 bytes at once, the frame has 31" in refused.message
    assert "refused frame gate/1/1 for good" in caplog.text
    # No link was lost for it.
    assert "items wait in the spool" not in caplog.text


@pytest.mark.parametrize("spooled", [True, False])
async def test_a_camera_is_told_that_its_frame_is_larger_than_the_decoder_takes(tmp_path, spooled):
    spool = tmp_path / "spool" if spooled else None
    raw_pixels = raw(picture(1024, 1024))  # 3 MiB: this codec codes without loss
    async with (
        decoding(tmp_path, max_message_bytes=2**21) as decoder,
        encoding(upstream=f"127.0.0.1:{decoder.port}", spool=spool) as encoder,
    ):
        await encoder.stub.Encode(request(0))
        refusal = None
        number = 0
        while refusal is None:  # until the encoder has heard the answer to the first
            number += 1
            try:
                await encoder.stub.Encode(pb.EncodeRequest(picture=raw_pixels, key=key(number)))
            except grpc.aio.AioRpcError as error:
                refusal = error
        await encoder.stub.Encode(request(number + 1))
        assert (await events_to(decoder.stub, number + 1)) == [0, number + 1]
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "takes at most 2097152 bytes at once, the frame has 31" in refusal.details()
    assert "grpc-retry-pushback-ms" not in dict(refusal.trailing_metadata())


async def test_a_decoder_that_is_not_there_is_tried_at_growing_intervals(tmp_path):
    waits, enough = [], asyncio.Event()

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 6:
            enough.set()
            await asyncio.Event().wait()

    async with spooling(tmp_path) as spool, open_channel("127.0.0.1:1") as channel:
        await spool.put(frame(0), digest())
        forwarder = Forwarder(
            spool,
            lambda: Link(
                DecoderServiceStub(channel), "127.0.0.1:1", max_request_bytes=MESSAGE_BYTES
            ),
            RefusedFrames(tmp_path / "refused"),
            ahead=3,
            timeout_seconds=10,
            backoff=Backoff(first_seconds=1, most_seconds=8, uniform=lambda low, high: high),
            sleep=sleep,
        )
        running = asyncio.create_task(forwarder.run())
        async with asyncio.timeout(60):
            await enough.wait()
        running.cancel()
        await asyncio.wait([running])
        assert await waiting(spool) == [0]
    assert waits == [1, 2, 4, 8, 8, 8]


@asynccontextmanager
async def process(spool, upstream):
    """Start an encoder with a fake codec; yields the process and a stub."""
    flags = ("--port=0", f"--spool={spool}", f"--upstream={upstream}")
    async with (
        started("-m", "tests.encoder.fake_service", *flags) as (running, address),
        connect(address) as channel,
    ):
        await ready(channel)
        yield running, EncoderServiceStub(channel)


async def test_accepted_frames_survive_kill_9_and_are_stored_once(tmp_path):
    items = [item(n, picture(seed=n), key=key(n)) for n in range(60)]
    async with decoding(tmp_path) as decoder:
        address = f"127.0.0.1:{decoder.port}"
        async with process(tmp_path / "spool", address) as (running, stub):
            call = stub.EncodeStream()
            for one in items[:40]:
                await call.write(one)
            accepted = [(await call.read()).response.key.sequence for _ in range(20)]
            running.kill()
            await running.wait()
        async with process(tmp_path / "spool", address) as (_, stub):
            answers = [answer async for answer in stub.EncodeStream(iter(items))]
            assert [answer.WhichOneof("outcome") for answer in answers] == ["response"] * 60
            for answer in answers[:20]:
                assert answer.response.delivery == DUPLICATE
            assert await events_to(decoder.stub, 59) == list(range(60))
    assert accepted == list(range(20))
