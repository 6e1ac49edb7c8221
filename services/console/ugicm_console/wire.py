"""Write what the services answer as JSON's values.

Epochs and sequences are texts, because JavaScript's numbers end at 2^53. Times are seconds since
1970 in whole microseconds, so that a time that comes back in a query is the one that was told.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import analytics_pb2, decoder_pb2, types_pb2
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.wire import nanoseconds_to_wire

__all__ = [
    "analysis_to_json",
    "analyzer_to_json",
    "camera_to_json",
    "frame_to_json",
    "gap_to_json",
    "key_to_json",
    "time_from_json",
    "time_to_json",
]

_MICROSECONDS = 10**6
_TASKS = {
    analytics_pb2.ANALYZER_TASK_DETECT: "detect",
    analytics_pb2.ANALYZER_TASK_CLASSIFY: "classify",
    analytics_pb2.ANALYZER_TASK_SEGMENT: "segment",
}
_REASONS = {
    types_pb2.GAP_REASON_SPOOL_FULL: "spool_full",
    types_pb2.GAP_REASON_RETENTION: "retention",
    types_pb2.GAP_REASON_DAMAGED: "damaged",
}


def time_to_json(time: Timestamp) -> float:
    """Return a time in seconds, rounded down to microseconds."""
    return (time.ToNanoseconds() // 1000) / _MICROSECONDS


def time_from_json(seconds: float) -> Timestamp:
    """Return a time that ``time_to_json`` told.

    Raises:
        BadRequest: it lies outside the years 1678 to 2261, or is no number.
    """
    if not math.isfinite(seconds) or abs(seconds) >= 2**63 / 1e9:
        raise BadRequest(f"a time lies in the years 1678 to 2261, got {seconds:g} s since 1970")
    return nanoseconds_to_wire(1000 * round(_MICROSECONDS * seconds))


def key_to_json(key: types_pb2.FrameKey) -> dict[str, Any]:
    """Return a frame's key."""
    return {"camera": key.camera, "epoch": str(key.epoch), "sequence": str(key.sequence)}


def camera_to_json(camera: decoder_pb2.Camera) -> dict[str, Any]:
    """Return a camera that has stored frames."""
    return {
        "name": camera.name,
        "newest": key_to_json(camera.newest_key),
        "oldest_time": time_to_json(camera.oldest_time),
        "newest_time": time_to_json(camera.newest_time),
        "num_frames": camera.num_frames,
        "num_bytes": camera.num_bytes,
    }


def frame_to_json(frame: decoder_pb2.StoredFrame) -> dict[str, Any]:
    """Return what is known of a stored frame."""
    info = frame.info
    return {
        "key": key_to_json(frame.key),
        "capture_time": time_to_json(frame.capture_time),
        "store_time": time_to_json(frame.store_time),
        "height": info.height,
        "width": info.width,
        "num_bytes": info.num_bytes,
        "bits_per_pixel": info.bits_per_pixel,
        "quality_step": info.quality_step,
        "decodable": frame.decodable,
    }


def gap_to_json(gap: types_pb2.Gap) -> dict[str, Any]:
    """Return frames that nobody will get."""
    return {
        "camera": gap.camera,
        "epoch": str(gap.epoch),
        "first_sequence": str(gap.first_sequence),
        "last_sequence": str(gap.last_sequence),
        "reason": _REASONS.get(gap.reason, "unspecified"),
    }


def analyzer_to_json(analyzer: analytics_pb2.Analyzer) -> dict[str, Any]:
    """Return an analyzer that can be asked for."""
    return {
        "name": analyzer.name,
        "task": _TASKS.get(analyzer.task, "unknown"),
        "version": analyzer.version,
        "labels": list(analyzer.labels),
        "needs_labels": analyzer.needs_labels,
    }


def analysis_to_json(analysis: analytics_pb2.Analysis) -> dict[str, Any]:
    """Return what was found in one picture."""
    has_time = analysis.HasField("capture_time")
    return {
        "key": key_to_json(analysis.key) if analysis.HasField("key") else None,
        "capture_time": time_to_json(analysis.capture_time) if has_time else None,
        "height": analysis.height,
        "width": analysis.width,
        "view": analysis.view if analysis.HasField("view") else None,
        "results": [_result(result) for result in analysis.results],
    }


def _result(result: analytics_pb2.AnalyzerResult) -> dict[str, Any]:
    return {
        "analyzer": result.analyzer,
        "version": result.version,
        "detections": [_detection(one) for one in result.detections],
        "classifications": [
            {"label": one.label, "score": one.score} for one in result.classifications
        ],
        "segments": [{"label": one.label, "mask": _mask(one.mask)} for one in result.segments],
        "failure": result.failure.message if result.HasField("failure") else None,
        "seconds": result.seconds,
    }


def _detection(detection: analytics_pb2.Detection) -> dict[str, Any]:
    box = detection.box
    return {
        "label": detection.label,
        "score": detection.score,
        "box": [box.left, box.top, box.right, box.bottom],
        "mask": _mask(detection.mask) if detection.HasField("mask") else None,
    }


def _mask(mask: analytics_pb2.Mask) -> dict[str, Any]:
    return {"runs": list(mask.runs)}
