"""What the decoder asks of whatever keeps its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol

from ugicm_codec import StreamInfo
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "CameraSummary",
    "Event",
    "Events",
    "Frame",
    "FrameQuery",
    "FrameRecord",
    "FrameStore",
    "Gap",
    "GapReason",
    "PutOutcome",
]


@dataclass(frozen=True)
class Frame:
    """One stream with its key, capture time (nanoseconds since 1970, UTC) and parsed header."""

    key: FrameKey
    captured_ns: int
    info: StreamInfo
    stream: bytes


@dataclass(frozen=True)
class FrameRecord:
    """A stored frame without its stream; times in nanoseconds since 1970, UTC."""

    key: FrameKey
    captured_ns: int
    stored_ns: int
    info: StreamInfo


class GapReason(IntEnum):
    """Why frames are missing, by the numbers of the wire contract."""

    SPOOL_FULL = 1
    RETENTION = 2
    DAMAGED = 3


@dataclass(frozen=True)
class Gap:
    """Frames of one epoch, first and last included, that no reader will get."""

    camera: str
    epoch: int
    first_sequence: int
    last_sequence: int
    reason: GapReason


@dataclass(frozen=True)
class CameraSummary:
    """What is stored of one camera; times in nanoseconds since 1970, UTC."""

    name: str
    newest_key: FrameKey
    oldest_ns: int
    newest_ns: int
    num_frames: int
    num_bytes: int


@dataclass(frozen=True)
class FrameQuery:
    """Which frames of one camera to list; bounds that are None are open.

    Attributes:
        captured_from_ns: the first moment inside.
        captured_before_ns: the first moment outside.
    """

    camera: str
    epoch: int | None = None
    first_sequence: int | None = None
    last_sequence: int | None = None
    captured_from_ns: int | None = None
    captured_before_ns: int | None = None
    newest_first: bool = False


@dataclass(frozen=True)
class Event:
    """One thing that was stored, and its position in the order of storing."""

    position: int
    what: FrameRecord | Gap


@dataclass(frozen=True)
class Events:
    """Part of the order of storing.

    Attributes:
        items: by position.
        position: where to read on; it also covers what the cameras asked for did not match.
    """

    items: list[Event]
    position: int


class PutOutcome(Enum):
    """How something came to be durable."""

    STORED = "stored"
    DUPLICATE = "duplicate"


class FrameStore(Protocol):
    """Keeps frames and gaps, durably and in the order of storing.

    Every method may raise ``StoreFailed``, ``StoreLost`` or ``StoreDamaged``. Positions count from
    1, only grow, and are never used twice, also across restarts. Where retention has removed
    frames, a gap stands at the position of the last of them; it may also name frames that a reader
    got before.
    """

    @property
    def id(self) -> bytes:
        """8 bytes that tell this store from every other."""

    @property
    def newest_position(self) -> int:
        """The position of what was stored last; 0 in a new store."""

    async def catch_up(self) -> None:
        """Return once this process sees all that was stored before, also by others."""

    async def put(self, frame: Frame) -> PutOutcome:
        """Return once the frame is durable.

        A frame that retention has removed is a duplicate too, whatever its bytes. A caller who
        gives up takes nothing back.

        Raises:
            FrameConflict: the key is taken by other bytes.
            FrameTooLarge: the store takes no frame of this size.
            StoreFull: there is no room; reads go on.
        """

    async def put_gap(self, gap: Gap) -> PutOutcome:
        """Return once the gap is durable; it is stored without frames that it begins with.

        Raises:
            StoreFull: there is no room; reads go on.
        """

    async def check_room(self) -> None:
        """Return if a small frame could be stored now.

        Raises:
            StoreFull: there is no room; reads go on.
        """

    async def get(self, key: FrameKey) -> Frame:
        """Return a frame whose bytes are those that were put.

        Raises:
            FrameNotFound: no frame has the key.
            FrameDamaged: its bytes have changed; a gap that says so is stored.
        """

    async def cameras(self, *, after: str, limit: int) -> list[CameraSummary]:
        """Return the cameras whose names follow ``after``, by name."""

    async def frames(
        self, query: FrameQuery, *, after: FrameKey | None, limit: int
    ) -> list[FrameRecord]:
        """Return the frames that follow ``after`` in the order of the query."""

    async def events(self, position: int, *, cameras: Sequence[str], limit: int) -> Events:
        """Return what was stored behind ``position``; of all cameras where none is named."""

    async def newest_frames(self, position: int, *, cameras: Sequence[str]) -> Events:
        """Return, of each camera, the last frame stored, where that is behind ``position``."""

    async def wait_beyond(self, position: int) -> None:
        """Return once something is stored behind ``position``."""

    async def close(self) -> None:
        """Finish what is under way, and release the store."""
