"""Spans at a real OTLP collector."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.decoder.harness import ready, started
from tests.encoder.harness import key, raw
from tests.fake_codec import picture
from ugicm.v1 import analytics_pb2, encoder_pb2, types_pb2
from ugicm.v1.analytics_pb2_grpc import AnalyticsServiceStub
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_servicekit import tracing
from ugicm_servicekit.channel import connect
from ugicm_servicekit.wire import FrameKey


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the service, the name and the trace of each span; ``endpoint`` is where it listens."""

    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans = []

    def Export(self, request, context):
        for resource in request.resource_spans:
            (service,) = (
                one.value.string_value
                for one in resource.resource.attributes
                if one.key == "service.name"
            )
            self.spans += [
                (service, span.name, span.trace_id.hex())
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(4))
    collector = Collector(server.add_insecure_port("127.0.0.1:0"))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    server.start()
    yield collector
    server.stop(None)


def test_what_was_recorded_is_at_the_collector_when_tracing_ends(collector):
    key = FrameKey("gate", 1, 42)
    tracing.begin_tracing("encoder", tracing.exporter_to(collector.endpoint))
    try:
        with tracing.frame_span("encode", key), tracing.span("queue"):
            pass
    finally:
        tracing.end_tracing()
    trace_id = f"{key.trace_id:032x}"
    assert collector.spans == [
        ("encoder", "queue", trace_id),
        ("encoder", "encode frame", trace_id),
    ]


async def test_a_frame_is_one_trace_over_three_processes(collector, tmp_path):
    flags = ("--port=0", f"--trace-endpoint={collector.endpoint}")
    store, spool, results = (
        f"--{name}={tmp_path / name}" for name in ("store", "spool", "results")
    )
    async with (
        started("-m", "tests.decoder.fake_service", *flags, store) as (decoder, address),
        started(*("-m", "tests.encoder.fake_service", *flags, spool, f"--upstream={address}")) as (
            encoder,
            at_encoder,
        ),
        started(
            *("-m", "tests.analytics.watched_process", *flags, results, f"--decoder={address}")
        ) as (analytics, at_analytics),
    ):
        async with connect(at_encoder) as channel:
            await ready(channel)
            request = encoder_pb2.EncodeRequest(picture=raw(picture()), key=key(7))
            answer = await EncoderServiceStub(channel).Encode(request)
            assert answer.delivery == encoder_pb2.DELIVERY_SPOOLED
        async with connect(at_analytics) as channel:
            await ready(channel)
            watch = AnalyticsServiceStub(channel).Watch(
                analytics_pb2.WatchResultsRequest(
                    start=types_pb2.WATCH_START_OLDEST,
                    mode=types_pb2.WATCH_MODE_EVERY,
                    options=analytics_pb2.AnalyzeOptions(view=types_pb2.View(number=1)),
                )
            )
            assert (await watch.read()).analysis.key == key(7)
            watch.cancel()
        for process in (encoder, analytics, decoder):  # what they recorded leaves with them
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    trace_id = f"{FrameKey('gate', 1, 7).trace_id:032x}"
    spans = {(service, name) for service, name, of in collector.spans if of == trace_id}
    assert spans >= {
        ("encoder", "encode frame"),
        ("encoder", "coding"),
        ("encoder", "spool"),
        ("encoder", "forward frame"),
        ("decoder", "ingest frame"),
        ("decoder", "commit"),
        ("decoder", "decode frame"),
        ("decoder", "synthesis"),
        ("analytics", "analyze frame"),
        ("analytics", "analyze"),
    }
