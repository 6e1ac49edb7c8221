"""One frame, one trace: through a camera, the encoder, its spool, the decoder and analytics."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import analyzing
from tests.decoder.harness import decoding
from tests.encoder.harness import encoding, item, key, raw
from tests.fake_codec import picture
from ugicm.v1 import analytics_pb2, encoder_pb2, types_pb2
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_servicekit import tracing
from ugicm_servicekit.channel import connect
from ugicm_servicekit.wire import FrameKey

GATE = FrameKey("gate", 1, 0)


@pytest.fixture
def spans():
    """Record every span; yields a function that returns those of a trace, by name."""
    exporter = InMemorySpanExporter()
    tracing.begin_tracing("test", SimpleSpanProcessor(exporter))

    def of(trace_id):
        found = {}
        for span in exporter.get_finished_spans():
            if span.context.trace_id == trace_id:
                found.setdefault(span.name, []).append(span)
        return found

    yield of
    tracing.end_tracing()


def watching():
    return analytics_pb2.WatchResultsRequest(
        start=types_pb2.WATCH_START_OLDEST,
        mode=types_pb2.WATCH_MODE_EVERY,
        options=analytics_pb2.AnalyzeOptions(view=types_pb2.View(number=1)),
    )


@pytest.mark.parametrize("through", ["link", "spool"])
async def test_a_frame_is_one_trace_in_every_service(through, spans, tmp_path):
    spool = {"spool": tmp_path / "spool"} if through == "spool" else {}
    async with (
        decoding(tmp_path) as decoder,
        encoding(upstream=f"127.0.0.1:{decoder.port}", **spool) as encoder,
        analyzing({"brightness": Brightness()}, decoder=f"127.0.0.1:{decoder.port}") as running,
    ):
        call = encoder.stub.EncodeStream(
            iter([item(n, picture(seed=n), key=key(n)) for n in range(2)])
        )
        assert [answer.WhichOneof("outcome") async for answer in call] == ["response"] * 2
        results = running[0].Watch(watching())
        seen = [(await results.read()).WhichOneof("event") for _ in range(2)]
        results.cancel()
    assert seen == ["analysis", "analysis"]
    for sequence in range(2):
        found = spans(FrameKey("gate", 1, sequence).trace_id)
        delivery = {"link": {"deliver"}, "spool": {"spool", "forward frame"}}[through]
        assert set(found) == {
            *("encode frame", "queue", "picture", "analysis", "coding", "deliver frame"),  # encoder
            *delivery,
            *("ingest frame", "commit"),  # decoder
            *("ugicm.v1.DecoderService/Decode", "decode frame", "latents", "synthesis", "batch"),
            *("analyze frame", "decode", "analyze"),  # analytics
        }
        assert all(
            len(found[name]) == 1 for name in ("ingest frame", "commit", "latents", "synthesis")
        )


async def test_a_call_goes_on_in_the_trace_of_its_caller(spans):
    async with encoding() as encoder:
        metadata = (("traceparent", f"00-{7:032x}-{9:016x}-01"),)
        request = encoder_pb2.EncodeRequest(picture=raw(picture()), key=key(0))
        await encoder.stub.Encode(request, metadata=metadata)
    (call,) = spans(7)["ugicm.v1.EncoderService/Encode"]
    assert call.parent.span_id == 9
    # The frame's own trace begins elsewhere, and names the call that brought it.
    (encode,) = spans(GATE.trace_id)["encode frame"]
    assert [link.context.span_id for link in encode.links] == [call.context.span_id]


async def test_what_is_not_sampled_is_not_recorded(spans):
    async with encoding() as encoder:
        metadata = (("traceparent", f"00-{7:032x}-{9:016x}-00"),)
        await encoder.stub.Encode(
            encoder_pb2.EncodeRequest(picture=raw(picture())), metadata=metadata
        )
    assert spans(7) == {}


async def test_a_channel_hands_on_the_running_span(spans):
    async with encoding() as encoder:
        port = encoder.port
        async with connect(f"127.0.0.1:{port}") as channel:
            with tracing.frame_span("send", GATE):
                await EncoderServiceStub(channel).ListModels(types_pb2.ListModelsRequest())
    found = spans(GATE.trace_id)
    (send,), (call,) = found["send frame"], found["ugicm.v1.EncoderService/ListModels"]
    assert call.parent.span_id == send.context.span_id


async def test_an_error_marks_its_spans_and_tells_none_of_its_text(spans):
    with pytest.raises(ZeroDivisionError), tracing.frame_span("send", GATE):
        raise ZeroDivisionError("secret")
    (send,) = spans(GATE.trace_id)["send frame"]
    assert send.status.description == "ZeroDivisionError"
    assert send.events == ()


async def test_nothing_is_carried_while_nobody_traces():
    with tracing.frame_span("send", GATE):
        assert tracing.carried() == []
        assert tracing.current_trace_id() is None


def test_two_services_sample_the_same_frames():
    def sampled(ratio):
        exporter = InMemorySpanExporter()
        tracing.begin_tracing("test", SimpleSpanProcessor(exporter), ratio=ratio)
        for sequence in range(200):
            with tracing.frame_span("send", FrameKey("gate", 1, sequence)):
                pass
        tracing.end_tracing()
        return [span.context.trace_id for span in exporter.get_finished_spans()]

    first = sampled(0.5)
    assert first == sampled(0.5)
    assert 60 < len(first) < 140
    assert sampled(0.0) == []


async def test_concurrent_frames_keep_their_own_traces(spans):
    both = asyncio.Barrier(2)

    async def work(sequence):
        with tracing.frame_span("outer", FrameKey("gate", 1, sequence)):
            await both.wait()
            with tracing.span("inner"):
                await both.wait()

    await asyncio.gather(work(0), work(1))
    for sequence in range(2):
        found = spans(FrameKey("gate", 1, sequence).trace_id)
        assert {name: len(those) for name, those in found.items()} == {"outer frame": 1, "inner": 1}
