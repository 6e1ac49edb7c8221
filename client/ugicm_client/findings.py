"""Say what was found in a picture: in words, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict

from ugicm.v1 import analytics_pb2

__all__ = ["analysis_record", "result_lines"]


def analysis_record(analysis: analytics_pb2.Analysis) -> dict[str, Any]:
    """Return what was found in a picture as JSON's objects, by the names of the wire contract."""
    record: dict[str, Any] = MessageToDict(
        analysis, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return record


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
