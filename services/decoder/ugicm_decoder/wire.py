"""Translate frames, gaps and queries between messages and the store's values."""

from __future__ import annotations

from collections.abc import Mapping

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_codec import Limits, inspect
from ugicm_decoder.store import CameraSummary, Frame, FrameQuery, FrameRecord, Gap, GapReason
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.streams import stream_info_to_wire
from ugicm_servicekit.wire import (
    key_from_wire,
    key_to_wire,
    nanoseconds_from_wire,
    nanoseconds_to_wire,
)

__all__ = [
    "camera_to_wire",
    "first_key_of_gap",
    "frame_from_wire",
    "frame_to_wire",
    "gap_from_wire",
    "gap_to_wire",
    "query_from_wire",
    "record_to_wire",
]

# Not RETENTION: only the store knows what it removed, and takes frames in such a gap for repeats.
_REASON_OF_ENCODER: Mapping[int, GapReason] = {
    types_pb2.GAP_REASON_SPOOL_FULL: GapReason.SPOOL_FULL,
    types_pb2.GAP_REASON_DAMAGED: GapReason.DAMAGED,
}


def frame_from_wire(message: types_pb2.Frame, limits: Limits) -> Frame:
    """Return the frame in ``message``, its stream's lengths and checksum verified.

    Raises:
        BadRequest: the key or the time is missing or out of range.
        BitstreamError: the bytes are not a whole stream.
    """
    key = key_from_wire(message.key)
    if not message.HasField("capture_time"):
        raise BadRequest(f"frame {key} has no capture time")
    return Frame(
        key=key,
        captured_ns=nanoseconds_from_wire(message.capture_time),
        info=inspect(message.stream, limits),
        stream=message.stream,
    )


def frame_to_wire(frame: Frame) -> types_pb2.Frame:
    """Return a whole frame as a message."""
    return types_pb2.Frame(
        key=key_to_wire(frame.key),
        capture_time=nanoseconds_to_wire(frame.captured_ns),
        stream=frame.stream,
    )


def record_to_wire(record: FrameRecord, *, decodable: bool) -> decoder_pb2.StoredFrame:
    """Return a stored frame as a message."""
    return decoder_pb2.StoredFrame(
        key=key_to_wire(record.key),
        capture_time=nanoseconds_to_wire(record.captured_ns),
        store_time=nanoseconds_to_wire(record.stored_ns),
        info=stream_info_to_wire(record.info),
        decodable=decodable,
    )


def gap_from_wire(message: types_pb2.Gap) -> Gap:
    """Return the gap in ``message``.

    Raises:
        BadRequest: the camera is no name, the gap ends before it begins, or its reason is not one
            that an encoder has.
    """
    first = key_from_wire(first_key_of_gap(message))
    if message.last_sequence < message.first_sequence:
        raise BadRequest(
            f"a gap's last sequence is {message.first_sequence} or more, "
            f"got {message.last_sequence}"
        )
    reason = _REASON_OF_ENCODER.get(message.reason)
    if reason is None:
        raise BadRequest(
            f"a gap that is ingested has the reason SPOOL_FULL or DAMAGED, got {message.reason}"
        )
    return Gap(first.camera, first.epoch, first.sequence, message.last_sequence, reason)


def gap_to_wire(gap: Gap) -> types_pb2.Gap:
    """Return a gap as a message."""
    return types_pb2.Gap(
        camera=gap.camera,
        epoch=gap.epoch,
        first_sequence=gap.first_sequence,
        last_sequence=gap.last_sequence,
        reason=types_pb2.GapReason.ValueType(gap.reason),
    )


def first_key_of_gap(message: types_pb2.Gap) -> types_pb2.FrameKey:
    """Return the key that answers a gap: that of its first missing frame."""
    return types_pb2.FrameKey(
        camera=message.camera, epoch=message.epoch, sequence=message.first_sequence
    )


def camera_to_wire(camera: CameraSummary) -> decoder_pb2.Camera:
    """Return what is stored of a camera as a message."""
    return decoder_pb2.Camera(
        name=camera.name,
        newest_key=key_to_wire(camera.newest_key),
        oldest_time=nanoseconds_to_wire(camera.oldest_ns),
        newest_time=nanoseconds_to_wire(camera.newest_ns),
        num_frames=camera.num_frames,
        num_bytes=camera.num_bytes,
    )


def query_from_wire(message: decoder_pb2.ListFramesRequest) -> FrameQuery:
    """Return which frames are asked for.

    Raises:
        BadRequest: the camera is no name, or sequences are bounded without an epoch.
    """
    time = message.capture_time
    query = FrameQuery(
        camera=key_from_wire(types_pb2.FrameKey(camera=message.camera)).camera,
        epoch=message.epoch if message.HasField("epoch") else None,
        first_sequence=message.first_sequence if message.HasField("first_sequence") else None,
        last_sequence=message.last_sequence if message.HasField("last_sequence") else None,
        captured_from_ns=nanoseconds_from_wire(time.start) if time.HasField("start") else None,
        captured_before_ns=nanoseconds_from_wire(time.end) if time.HasField("end") else None,
        newest_first=message.newest_first,
    )
    if query.epoch is None and (query.first_sequence, query.last_sequence) != (None, None):
        raise BadRequest("sequences are bounded within an epoch, got none")
    return query
