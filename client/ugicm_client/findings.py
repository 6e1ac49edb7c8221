"""Say what was found in a picture: in words, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict

from ugicm.v1 import analytics_pb2, types_pb2
from ugicm_servicekit.wire import key_from_wire

__all__ = [
    "analysis_record",
    "failed_line",
    "frame_lines",
    "frame_record",
    "gap_line",
    "result_lines",
]


def analysis_record(analysis: analytics_pb2.Analysis) -> dict[str, Any]:
    """Return what was found in a picture as JSON's objects, by the names of the wire contract."""
    record: dict[str, Any] = MessageToDict(
        analysis, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return record


def frame_record(analysis: analytics_pb2.Analysis) -> dict[str, Any]:
    """Return what was found in a stored frame as JSON's objects; ``key`` as people write it."""
    return {**analysis_record(analysis), "key": str(key_from_wire(analysis.key))}


def frame_lines(analysis: analytics_pb2.Analysis) -> Iterator[str]:
    """Yield a line for each thing that was found in a stored frame, or why nothing was."""
    start = f"{key_from_wire(analysis.key)} {analysis.capture_time.ToJsonString()}"
    for result in analysis.results:
        if result.HasField("failure"):
            yield f"{start}: {result.analyzer} failed: {result.failure.message}"
            continue
        for line in list(result_lines(result)) or [f"nothing, {result.analyzer}"]:
            yield f"{start}: {line}"


def failed_line(failed: analytics_pb2.FailedFrame) -> str:
    """Return why a frame could not be analyzed."""
    return f"{key_from_wire(failed.key)}: {failed.failure.message}"


def gap_line(gap: types_pb2.Gap) -> str:
    """Return which frames nobody will get, and why."""
    reason = types_pb2.GapReason.Name(gap.reason).removeprefix("GAP_REASON_").lower()
    return (
        f"{gap.camera}/{gap.epoch}/{gap.first_sequence} to {gap.last_sequence}: "
        f"{reason.replace('_', ' ')}"
    )


def result_lines(result: analytics_pb2.AnalyzerResult) -> Iterator[str]:
    """Yield a line for each thing that an analyzer found."""
    by = result.analyzer
    for found in result.detections:
        box = found.box
        yield (
            f"{found.label} {found.score:.2f} at ({box.left:.0f}, {box.top:.0f}) to "
            f"({box.right:.0f}, {box.bottom:.0f}), {by}"
        )
    for kind in result.classifications:
        yield f"{kind.label} {kind.score:.2f}, {by}"
    for segment in result.segments:
        yield f"{segment.label} segmented, {by}"
