"""Turn frames and gaps into messages of a stream, and the heads of messages back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from ugicm_codec import StreamInfo
from ugicm_decoder.store.interface import Frame, FrameRecord, Gap, GapReason
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.jetstream import camera_from_word, camera_to_word
from ugicm_servicekit.wire import FrameKey, check_camera

__all__ = [
    "HEAD_BYTES",
    "SIZE",
    "Head",
    "all_subjects",
    "frame_headers",
    "frame_subject",
    "gap_subject",
    "parse",
]

# What a message takes beside its stream, at most: subject, headers and the server's own.
HEAD_BYTES = 1024
# Where a message comes without its bytes, the server says how many they are.
SIZE = "Nats-Msg-Size"
_FRAME = "Ugicm-Frame"
_FORMAT = "1"
_GAP = "gap"


@dataclass(frozen=True)
class Head:
    """What a message says without its bytes; of a frame, also what its bytes must hash to."""

    what: FrameRecord | Gap
    sha256: bytes = b""


def all_subjects(stream: str) -> str:
    """Return what matches every message of a stream; its second word is the camera."""
    return f"{stream}.>"


def frame_subject(stream: str, key: FrameKey) -> str:
    """Return the subject that only one frame has: the server itself sees a second one coming."""
    return f"{stream}.{camera_to_word(key.camera)}.{key.epoch}.{key.sequence}"


def gap_subject(stream: str, gap: Gap) -> str:
    """Return the subject that says all of a gap."""
    span = f"{gap.first_sequence}.{gap.last_sequence}.{int(gap.reason)}"
    return f"{stream}.{camera_to_word(gap.camera)}.{gap.epoch}.{_GAP}.{span}"


def frame_headers(frame: Frame) -> dict[str, str]:
    """Return what readers must know of a frame before they have its bytes."""
    info = frame.info
    words = (
        _FORMAT,
        frame.captured_ns,
        info.version,
        info.latents_id.hex(),
        info.height,
        info.width,
        info.quality_step,
        sha256(frame.stream).hexdigest(),
    )
    return {_FRAME: " ".join(map(str, words))}


def parse(subject: str, headers: Mapping[str, str], stored_ns: int) -> Head:
    """Return what a message of the stream is.

    Raises:
        ValueError: it is none of ours.
    """
    _, camera, epoch, *words = subject.split(".")
    camera = camera_from_word(camera)
    try:
        check_camera(camera)
    except BadRequest as error:
        raise ValueError(str(error)) from error
    if words[0] == _GAP:
        first, last, reason = map(_unsigned, words[1:])
        return Head(Gap(camera, _unsigned(epoch), first, last, GapReason(reason)))
    (sequence,) = map(_unsigned, words)
    key = FrameKey(camera, _unsigned(epoch), sequence)
    layout, *numbers = headers.get(_FRAME, "").split()
    if layout != _FORMAT:
        raise ValueError(f"a frame's header has format {_FORMAT}, got {layout}")
    captured, version, latents_id, height, width, step, checksum = numbers
    info = StreamInfo(
        version=_signed(version),
        latents_id=bytes.fromhex(latents_id),
        height=_signed(height),
        width=_signed(width),
        quality_step=_signed(step),
        num_bytes=_signed(headers[SIZE]),
    )
    return Head(FrameRecord(key, _signed(captured), stored_ns, info), bytes.fromhex(checksum))


def _unsigned(word: str) -> int:
    return _number(word, range(2**64))


def _signed(word: str) -> int:
    return _number(word, range(-(2**63), 2**63))


def _number(word: str, those: range) -> int:
    """Return a number as we write it: what an index cannot hold would end its keeping."""
    number = int(word)
    if number not in those or str(number) != word:
        raise ValueError(f"a number of 64 bits, without signs that it does not need, got {word!r}")
    return number
