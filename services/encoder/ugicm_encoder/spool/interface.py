"""What the encoder asks of whatever keeps its frames until the decoder has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_servicekit.wire import FrameKey

__all__ = ["Acceptance", "Pending", "Spool", "SpoolFull", "SpoolUsage", "SpooledItem"]


class SpoolFull(Enum):
    """What a full spool does with a new frame."""

    REFUSE = "refuse"
    DROP_OLDEST = "drop-oldest"


class Acceptance(Enum):
    """How a frame came to be accepted."""

    SPOOLED = "spooled"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class SpooledItem:
    """A frame, or a gap where frames were lost, that the decoder has yet to get."""

    position: int
    request: decoder_pb2.IngestRequest = field(repr=False)


@dataclass(frozen=True)
class Pending:
    """Part of what waits.

    Attributes:
        items: by position.
        position: where to read on.
    """

    items: list[SpooledItem]
    position: int


@dataclass(frozen=True)
class SpoolUsage:
    """How many items wait, their bytes, and what was lost since the process started.

    Attributes:
        num_dropped: frames given up because the spool was full and its settings say so.
        num_damaged: frames whose bytes changed on the disk.
    """

    num_items: int = 0
    num_bytes: int = 0
    num_dropped: int = 0
    num_damaged: int = 0


class Spool(Protocol):
    """Keeps accepted frames, durably and in the order in which they were accepted.

    The frames of one epoch are accepted in ascending order only. Every method may raise
    ``SpoolFailed``. Positions count from 1, only grow, and are never used twice.
    """

    @property
    def usage(self) -> SpoolUsage:
        """What waits, as of the last commit."""

    async def recognise(self, key: FrameKey, digest: bytes) -> bool:
        """Tell, before the work of coding, whether a frame was accepted earlier.

        Args:
            key: of the frame.
            digest: 32 bytes that tell its picture from every other.

        Raises:
            FrameTaken: another picture was accepted under the key.
            FrameLate: it was not, but a later frame of its epoch was.
            Overloaded: the spool was full a moment ago.
        """

    async def put(self, frame: types_pb2.Frame, digest: bytes) -> Acceptance:
        """Return once the frame is durable, or was so before.

        Raises:
            FrameTaken: another picture was accepted under the key.
            FrameLate: it was not, but a later frame of its epoch was.
            FrameTooLarge: the frame alone has more bytes than the spool may have.
            Overloaded: the spool is full.
        """

    async def pause(self, key: FrameKey, seconds: float) -> None:
        """Refuse this frame and later ones of its epoch for a while, because this one was refused.

        Those that are on their way already would overtake it.
        """

    async def pending(self, after: int, limit: int) -> Pending:
        """Return what waits behind a position, in order; none of it is dropped until removed.

        Frames whose bytes have changed come as gaps.
        """

    async def remove(self, positions: Sequence[int]) -> None:
        """Let go of what the decoder has; it stays known as accepted."""

    async def wait_beyond(self, position: int) -> None:
        """Return once something was accepted behind ``position``."""

    async def close(self) -> None:
        """Finish what is under way, and release the spool."""
