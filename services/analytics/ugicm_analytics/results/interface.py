"""What analytics asks of whatever keeps its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "Found",
    "Missed",
    "MissedRecord",
    "Place",
    "Progress",
    "ResultKey",
    "ResultLimits",
    "ResultQuery",
    "ResultStore",
]


@dataclass(frozen=True, kw_only=True)
class ResultLimits:
    """What a store may hold; None sets no limit.

    Attributes:
        retention_seconds: how long a result is kept, from its storing; a wrong clock removes
            nothing (``Ages``).
        max_bytes: of the database's pages in use; what was stored first goes first.
        min_free_bytes: what stays free on the disk, so that reads and retention go on.
    """

    retention_seconds: float | None = None
    max_bytes: int | None = None
    min_free_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class ResultKey:
    """What there is one result of: a frame's view, seen by one version of an analyzer.

    Attributes:
        labels: those that the analyzer was given; empty where it has its own.
    """

    frame: FrameKey
    view: float
    analyzer: str
    version: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How far a watch has come.

    Attributes:
        watch: its name.
        cursor: the decoder's, behind what is stored together with this.
    """

    watch: str
    cursor: bytes


@dataclass(frozen=True)
class Missed:
    """Frames that an analyzer will not see, and why: a gap, or one frame and how it failed."""

    analyzer: str
    why: types_pb2.Gap | pb.FailedFrame


@dataclass(frozen=True)
class ResultQuery:
    """Which results to list; empty or None: all.

    Attributes:
        captured_from_ns: the first moment inside.
        captured_before_ns: the first moment outside.
        minimum_score: of findings; the areas of segmenters have none and always pass.
    """

    cameras: tuple[str, ...] = ()
    captured_from_ns: int | None = None
    captured_before_ns: int | None = None
    analyzers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    minimum_score: float | None = None
    view: float | None = None
    newest_first: bool = False


@dataclass(frozen=True)
class Place:
    """A picture's place in the order of capture times; equal times are in the order of storing."""

    captured_ns: int
    row: int


@dataclass(frozen=True)
class Found:
    """A picture with its results, less what was not asked for."""

    place: Place
    analysis: pb.Analysis


@dataclass(frozen=True)
class MissedRecord:
    """What was missed, with its place in the order of recording."""

    row: int
    recorded_ns: int
    missed: Missed


class ResultStore(Protocol):
    """Keeps what was found in frames, once for each ``ResultKey``, and how far watches have come.

    Every method may raise ``ResultsFailed``. What is written with a ``Progress`` is durable
    together with it, or not at all.
    """

    async def put(self, analysis: pb.Analysis, *, progress: Progress | None = None) -> set[str]:
        """Return the analyzers whose results of a frame are new, once all are durable.

        A result that is there stays as it is, unless it was a failure and the new one is none.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

    async def put_missed(self, missed: Missed, *, progress: Progress) -> None:
        """Return once it is durable that frames were missed; the same is recorded once.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

    async def advance(self, progress: Progress) -> None:
        """Return once it is durable how far a watch has come.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

    async def has(self, key: ResultKey) -> bool:
        """Tell whether a result is kept that is no failure."""

    async def cursor(self, watch: str) -> bytes | None:
        """Return where a watch goes on; None where it never began."""

    async def pictures(self, query: ResultQuery, *, after: Place | None, limit: int) -> list[Found]:
        """Return the pictures that follow ``after`` in the order of the query.

        A result whose stored bytes have changed is a failure, DATA_LOSS, in its place.
        """

    async def missed(self, cameras: Sequence[str], *, after: int, limit: int) -> list[MissedRecord]:
        """Return what was missed of some cameras, or of all, behind the row ``after``."""

    async def check_room(self) -> None:
        """Return if a result could be stored now.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

    async def close(self) -> None:
        """Finish what is under way, and release the store."""
