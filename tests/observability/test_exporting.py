"""Spans at a real OTLP collector."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from ugicm_servicekit import tracing
from ugicm_servicekit.wire import FrameKey


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
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


def test_what_was_recorded_is_at_the_collector_when_tracing_ends():
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    key = FrameKey("gate", 1, 42)
    try:
        tracing.begin_tracing("encoder", tracing.exporter_to(f"http://127.0.0.1:{port}"))
        with tracing.frame_span("encode", key), tracing.span("queue"):
            pass
    finally:
        tracing.end_tracing()
        server.stop(None)
    trace_id = f"{key.trace_id:032x}"
    assert collector.spans == [
        ("encoder", "queue", trace_id),
        ("encoder", "encode frame", trace_id),
    ]
