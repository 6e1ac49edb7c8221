"""Trace frames and calls by OpenTelemetry; next to free while nobody collects traces.

A frame's trace id is the first half of the SHA-256 of its key. So the encoder, the decoder,
analytics and whoever reads the frame next year work in one trace without handing anything on: not
through a spool, not through a store, not in a stream of many frames. The price: what two services
do for a frame stands side by side in its trace; only a call made for one frame (such as Decode)
hangs below the caller's span. Work for a frame that a call of another trace asked for is linked to
that call.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.wire import FrameKey

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

__all__ = [
    "begin_tracing",
    "call_span",
    "carried",
    "current_trace_id",
    "end_tracing",
    "exporter_to",
    "frame_span",
    "record_frame",
    "record_span",
    "span",
]

_W3C = TraceContextTextMapPropagator()
# The trace that the next span without a parent begins.
_next_trace_id: contextvars.ContextVar[int | None] = contextvars.ContextVar(
    "ugicm_next_trace_id", default=None
)


class _Tracing:
    """The process's tracer, while there is one."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def exporter_to(endpoint: str) -> SpanProcessor:
    """Return what sends spans to an OTLP collector (gRPC), in batches and off the event loop.

    Args:
        endpoint: such as ``http://collector:4317``, or ``https://`` for TLS.

    Raises:
        BadSettings: the packages for it are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise BadSettings(
            ["trace_endpoint needs more packages: pip install 'ugicm-servicekit[traces]'"]
        ) from error
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


def begin_tracing(service: str, processor: SpanProcessor, *, ratio: float = 1.0) -> None:
    """Record the process's spans from now on.

    Args:
        service: the name that its spans carry.
        processor: gets them.
        ratio: of traces that are recorded, decided by trace id: every service with the same ratio
            records the same frames. Calls that bring a trace along follow its decision.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _next_trace_id.get() or super().generate_trace_id()

    end_tracing()
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(ratio),
        resource=Resource({"service.name": service}),
        id_generator=Ids(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    _Tracing.provider, _Tracing.tracer = provider, provider.get_tracer("ugicm")


def end_tracing() -> None:
    """Hand over what was recorded, and record nothing more."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(name: str) -> Iterator[None]:
    """Record a part of the work of the running task or thread."""
    if _Tracing.tracer is None:
        yield
        return
    with _inside(_Tracing.tracer.start_span(name)):
        yield


@contextmanager
def frame_span(name: str, key: FrameKey) -> Iterator[None]:
    """Record work for a frame in the frame's trace, linked to the call that asked for it.

    Args:
        name: what is done; the span is called ``name frame``.
        key: the frame's.
    """
    if _Tracing.tracer is None:
        yield
        return
    with _inside(_start_frame(_Tracing.tracer, name, key)):
        yield


def record_span(name: str, started_ns: int, ended_ns: int) -> None:
    """Record a part of the running work that another process did, between times since 1970."""
    if _Tracing.tracer is not None:
        _Tracing.tracer.start_span(name, start_time=started_ns).end(ended_ns)


def record_frame(name: str, key: FrameKey, started_ns: int) -> None:
    """Record work for a frame that began at ``started_ns``, since 1970, and ends now."""
    if _Tracing.tracer is not None:
        _start_frame(_Tracing.tracer, name, key, started_ns).end()


@contextmanager
def call_span(method: str, metadata: Mapping[str, str]) -> Iterator[None]:
    """Record a call that is served, in the trace that its W3C ``traceparent`` names."""
    if _Tracing.tracer is None:
        yield
        return
    context = _W3C.extract(dict(metadata), context=Context())
    name = method.removeprefix("/")
    with _inside(_Tracing.tracer.start_span(name, context=context, kind=SpanKind.SERVER)):
        yield


def carried() -> list[tuple[str, str]]:
    """Return the metadata by which a call goes on in the running task's trace."""
    if _Tracing.tracer is None:
        return []
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return list(carrier.items())


def current_trace_id() -> int | None:
    """Return the id of the trace that the running task or thread works in."""
    context = trace.get_current_span().get_span_context()
    return context.trace_id if context.is_valid else None


def _start_frame(tracer: Tracer, name: str, key: FrameKey, started_ns: int | None = None) -> Span:
    attributes = {
        "ugicm.camera": key.camera,
        # As texts: they may exceed the signed numbers of attributes.
        "ugicm.epoch": str(key.epoch),
        "ugicm.sequence": str(key.sequence),
    }
    name = f"{name} frame"
    caller = trace.get_current_span().get_span_context()
    if caller.trace_id == key.trace_id:
        return tracer.start_span(name, attributes=attributes, start_time=started_ns)
    links = [Link(caller)] if caller.is_valid else []
    before = _next_trace_id.set(key.trace_id)
    try:
        return tracer.start_span(
            name, context=Context(), links=links, attributes=attributes, start_time=started_ns
        )
    finally:
        _next_trace_id.reset(before)


@contextmanager
def _inside(opened: Span) -> Iterator[None]:
    try:
        with trace.use_span(opened, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        # The kind only: messages may quote what a client sent.
        opened.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        opened.end()
