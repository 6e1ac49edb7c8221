"""Translate views, frame keys and times between messages and values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import types_pb2
from ugicm_codec.errors import BadView
from ugicm_codec.views import HUMAN, MACHINE, parse_view
from ugicm_servicekit.errors import BadRequest

__all__ = [
    "MAX_MESSAGE_BYTES_KEY",
    "FrameKey",
    "check_camera",
    "key_from_wire",
    "key_to_wire",
    "nanoseconds_from_wire",
    "nanoseconds_to_wire",
    "page_size_from_wire",
    "view_from_wire",
    "view_to_wire",
]

_DEFAULT_PAGE = 100
_MAX_PAGE = 1000
# In the initial metadata of Ingest: how large a request the decoder takes, in bytes.
MAX_MESSAGE_BYTES_KEY = "ugicm-max-message-bytes"

_CAMERA = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VIEW_OF_PRESET = {
    types_pb2.VIEW_PRESET_HUMAN: HUMAN,
    types_pb2.VIEW_PRESET_MACHINE: MACHINE,
}


@dataclass(frozen=True, order=True)
class FrameKey:
    """The name of one frame; keys of one camera sort in the order of its frames."""

    camera: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.camera}/{self.epoch}/{self.sequence}"

    @property
    def trace_id(self) -> int:
        """128 bits that name, in every service, the trace of what is done for the frame."""
        return int.from_bytes(sha256(str(self).encode()).digest()[:16])


def check_camera(camera: str) -> None:
    """Refuse what is no camera's name.

    Raises:
        BadRequest: the name is empty, too long or of other characters.
    """
    if _CAMERA.fullmatch(camera) is None:
        raise BadRequest(
            "a camera's name has 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', "
            f"got {camera[:140]!r}"
        )


def key_from_wire(message: types_pb2.FrameKey) -> FrameKey:
    """Return the key in ``message``.

    Raises:
        BadRequest: the camera's name is empty, too long or of other characters.
    """
    check_camera(message.camera)
    return FrameKey(message.camera, message.epoch, message.sequence)


def key_to_wire(key: FrameKey) -> types_pb2.FrameKey:
    """Return ``key`` as a message."""
    return types_pb2.FrameKey(camera=key.camera, epoch=key.epoch, sequence=key.sequence)


def view_from_wire(message: types_pb2.View) -> float:
    """Return the view as a number in [0, 1].

    Raises:
        BadView: the message names no view, an unknown preset or a number out of range.
    """
    if message.WhichOneof("view") == "number":
        return parse_view(message.number)
    if message.preset not in _VIEW_OF_PRESET:
        raise BadView("a view is a number from 0 to 1 or one of the presets, got none of them")
    return _VIEW_OF_PRESET[message.preset]


def view_to_wire(view: float | str) -> types_pb2.View:
    """Return a view, by number or by name, as a message.

    Raises:
        BadView: ``view`` is neither a preset's name nor a number in [0, 1].
    """
    return types_pb2.View(number=parse_view(view))


def nanoseconds_from_wire(message: Timestamp) -> int:
    """Return the time since 1970 in nanoseconds, a signed 64-bit number.

    Raises:
        BadRequest: the time lies outside the years 1678 to 2261, or is no time at all.
    """
    try:
        nanoseconds = message.ToNanoseconds()
    except ValueError as error:
        raise BadRequest(f"a time needs seconds and nanoseconds in range: {error}") from error
    if not -(2**63) <= nanoseconds < 2**63:
        raise BadRequest(f"a time lies in the years 1678 to 2261, got {message.ToJsonString()}")
    return nanoseconds


def nanoseconds_to_wire(nanoseconds: int) -> Timestamp:
    """Return a time since 1970 as a message."""
    message = Timestamp()
    message.FromNanoseconds(nanoseconds)
    return message


def page_size_from_wire(page_size: int) -> int:
    """Return how many items a page has, of the number that a request asks for."""
    return min(page_size or _DEFAULT_PAGE, _MAX_PAGE)
