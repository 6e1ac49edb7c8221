"""The spool in one SQLite file: durable before frames count as accepted, verified when read."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_encoder.errors import (
    FrameLate,
    FrameTaken,
    FrameTooLarge,
    SpoolFailed,
    SpoolUnusable,
)
from ugicm_encoder.spool import statements
from ugicm_encoder.spool.interface import (
    Acceptance,
    Pending,
    SpooledItem,
    SpoolFull,
    SpoolUsage,
)
from ugicm_encoder.spool.pauses import Pauses
from ugicm_encoder.spool.schema import SCHEMA
from ugicm_servicekit.errors import DatabaseUnusable, Overloaded
from ugicm_servicekit.sqlite import (
    Commit,
    GroupCommit,
    GroupLimits,
    Readers,
    open_reader,
    open_writer,
)
from ugicm_servicekit.wire import FrameKey, key_from_wire

__all__ = ["SqliteSpool"]

_log = logging.getLogger(__name__)

# Pages, indexes and the write-ahead log around the bytes of one frame.
_OVERHEAD_BYTES = 64 * 2**10
# A camera has this much time to learn that a frame found no room before its later ones are let in:
# those that were on their way already must not overtake it.
_PAUSE_SECONDS = 1.0
# Dropping is told so often at most.
_SILENT_SECONDS = 10.0


class SqliteSpool:
    """A ``Spool`` in one folder, for one process; made by ``open``."""

    def __init__(
        self,
        db: sqlite3.Connection,
        reader: sqlite3.Connection,
        opened: ExitStack,
        *,
        max_bytes: int,
        min_free_bytes: int,
        when_full: SpoolFull,
        remembered: int,
        free_bytes: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._when_full = when_full
        self._remembered = remembered
        self._free_bytes = free_bytes
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._grown = asyncio.Event()
        self._pauses = Pauses(clock)
        self._readers = Readers([reader], name="spool-reader", failed=_explain)
        # The rest is the commit thread's.
        self._db = db
        # Items up to here are on their way: whether the decoder has them is not known.
        self._held = 0
        self._num_dropped = self._num_damaged = 0
        self._silent_until = clock()
        self._newest_position, self._usage = self._totals()
        # While one group is being written the next one gathers, so nobody waits for company.
        self._writes = GroupCommit(
            db,
            name="spool-writer",
            failed=self._fail,
            closed=lambda: SpoolFailed("the spool is closed"),
            limits=GroupLimits(quiet_seconds=0),
            committed=self._publish,
        )
        self._opened = opened.pop_all()

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        max_bytes: int,
        min_free_bytes: int,
        when_full: SpoolFull,
        remembered: int = 2**16,
        free_bytes: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> SqliteSpool:
        """Open the spool in ``folder``, made or brought to the current version where needed.

        Args:
            folder: of the spool alone.
            max_bytes: what all frames in it may come to.
            min_free_bytes: what stays free on the disk.
            when_full: what a full spool does with a new frame.
            remembered: how many accepted frames are told from others with the same key.
            free_bytes: how much of the disk is free.
            clock: in seconds.

        Raises:
            SpoolUnusable: the folder cannot be used, or another encoder has it.
        """
        with ExitStack() as opened:
            try:
                db, reader = await asyncio.to_thread(_open, folder, opened)
                return cls(
                    db,
                    reader,
                    opened,
                    max_bytes=max_bytes,
                    min_free_bytes=min_free_bytes,
                    when_full=when_full,
                    remembered=remembered,
                    free_bytes=free_bytes or (lambda: shutil.disk_usage(folder).free),
                    clock=clock,
                )
            except (OSError, sqlite3.Error, DatabaseUnusable) as error:
                raise SpoolUnusable(f"cannot open the spool {folder}: {error}") from error

    @property
    def usage(self) -> SpoolUsage:
        """What waits, as of the last commit."""
        return self._usage

    async def recognise(self, key: FrameKey, digest: bytes) -> bool:
        """Tell, before the work of coding, whether a frame was accepted earlier."""
        # Beside the commits: what is known or refused need not wait for the disk.
        return await self._readers.run(lambda db: self._recognise(db, key, digest))

    async def put(self, frame: types_pb2.Frame, digest: bytes) -> Acceptance:
        """Return once the frame is durable, or was so before."""
        self._pauses.check(key_from_wire(frame.key))
        return await self._writes.run(lambda db: self._put(db, frame, digest))

    async def pause(self, key: FrameKey, seconds: float) -> None:
        """Refuse this frame and later ones of its epoch for a while."""
        self._pauses.begin(key, seconds)

    async def pending(self, after: int, limit: int) -> Pending:
        """Return what waits behind a position, in order; none of it is dropped until removed."""
        return await self._writes.run(lambda db: self._pending(db, after, limit))

    async def remove(self, positions: Sequence[int]) -> None:
        """Let go of what the decoder has; it stays known as accepted."""
        await self._writes.run(lambda db: statements.delete_items(db, positions))

    async def wait_beyond(self, position: int) -> None:
        """Return once something was accepted behind ``position``."""
        while self._newest_position <= position:
            await self._grown.wait()

    async def close(self) -> None:
        """Finish what is under way, and release the spool."""
        await self._writes.close()
        await self._readers.close()
        self._opened.close()

    def _recognise(self, db: sqlite3.Connection, key: FrameKey, digest: bytes) -> bool:
        mark = statements.find_mark(db, key)
        if mark is not None and key.sequence <= mark:
            known = statements.find_digest(db, key)
            if known is None:
                raise FrameLate(
                    f"frames of an epoch come in order: {key} was not accepted, "
                    f"or more than {self._remembered} frames ago, and frame {mark} was"
                )
            if known != digest:
                raise FrameTaken(f"another picture was accepted as frame {key}")
            return True
        self._pauses.check(key)
        return False

    def _put(self, db: sqlite3.Connection, frame: types_pb2.Frame, digest: bytes) -> Acceptance:
        key = key_from_wire(frame.key)
        if self._recognise(db, key, digest):
            return Acceptance.DUPLICATE
        request = decoder_pb2.IngestRequest(frame=frame).SerializeToString()
        try:
            self._make_room(db, len(request))
        except Overloaded:
            self._pauses.begin(key)
            raise
        statements.insert_frame(db, key, request, digest)
        statements.forget_accepted(db, self._remembered)
        return Acceptance.SPOOLED

    def _make_room(self, db: sqlite3.Connection, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise FrameTooLarge(
                f"the spool takes at most {self._max_bytes} bytes, the frame alone has {num_bytes}"
            )
        dropped = []
        while (shortage := self._shortage(db, num_bytes)) is not None:
            oldest = statements.oldest_frame(db, after=self._held)
            if self._when_full is SpoolFull.REFUSE or oldest is None:
                raise _full(shortage, _PAUSE_SECONDS)  # what was dropped in vain comes back
            statements.replace_by_gap(db, oldest, types_pb2.GAP_REASON_SPOOL_FULL, self._held)
            dropped.append((oldest, shortage))
        for oldest, shortage in dropped:
            self._num_dropped += 1
            self._tell_of_dropping(oldest, shortage)

    def _tell_of_dropping(self, oldest: statements.Row, shortage: str) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            _log.warning(
                "%s: frame %s/%d/%d gives way, the %d. since the start",
                shortage,
                oldest.camera,
                oldest.epoch,
                oldest.first_sequence,
                self._num_dropped,
            )

    def _shortage(self, db: sqlite3.Connection, num_bytes: int) -> str | None:
        """Return why a frame does not fit, or None where it does."""
        used = statements.totals(db)[2]
        if used + num_bytes > self._max_bytes:
            return f"the spool has {used} of at most {self._max_bytes} bytes"
        free = self._free_bytes()
        reusable = statements.free_file_bytes(db)
        if max(0, free - self._min_free_bytes) + reusable < num_bytes + _OVERHEAD_BYTES:
            return f"the spool's disk has {free} bytes left, and {self._min_free_bytes} stay free"
        return None

    def _pending(self, db: sqlite3.Connection, after: int, limit: int) -> Pending:
        rows = []
        for row in statements.select_items(db, after, limit):
            if row.is_whole:
                rows.append(row)
                continue
            _log.error(
                "the spool's bytes of %s/%d/%d have changed on the disk: a gap takes their place",
                row.camera,
                row.epoch,
                row.first_sequence,
            )
            self._num_damaged += 1
            # Each stays by itself: what lies before it may be on its way.
            rows.append(
                statements.replace_by_gap(db, row, types_pb2.GAP_REASON_DAMAGED, after=row.position)
            )
        if rows:
            self._held = rows[-1].position
        items = [
            SpooledItem(row.position, decoder_pb2.IngestRequest.FromString(row.request))
            for row in rows
        ]
        return Pending(items, self._held if len(rows) == limit else statements.totals(db)[0])

    def _totals(self) -> tuple[int, SpoolUsage]:
        newest, num_items, num_bytes = statements.totals(self._db)
        return newest, SpoolUsage(num_items, num_bytes, self._num_dropped, self._num_damaged)

    def _publish(self, commit: Commit) -> None:
        # Cameras are told now. What they sent before is in the pipeline, behind one more commit.
        self._pauses.end_in(_PAUSE_SECONDS + 2 * commit.seconds)
        newest, usage = self._totals()
        self._loop.call_soon_threadsafe(self._announce, newest, usage)

    def _fail(self, error: sqlite3.Error | OSError) -> Exception:
        # Behind the frames of the group that failed others wait already, to overtake them.
        self._pauses.begin_for_all(_PAUSE_SECONDS)
        self._pauses.end_in(_PAUSE_SECONDS)
        return _explain(error)

    def _announce(self, newest_position: int, usage: SpoolUsage) -> None:
        self._usage = usage
        if newest_position > self._newest_position:
            self._newest_position = newest_position
            self._grown.set()
            self._grown = asyncio.Event()


def _full(why: str, seconds: float) -> Overloaded:
    return Overloaded(f"{why}; nothing is accepted for now", retry_after_seconds=seconds)


def _explain(error: sqlite3.Error | OSError) -> Exception:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return _full("the spool's disk is full", _PAUSE_SECONDS)
    return SpoolFailed(f"the spool failed: {error}")


def _open(folder: Path, opened: ExitStack) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Return a connection that writes, and one that reads."""
    path = folder / "spool.sqlite3"
    # Two encoders would forward the same frames, in no order.
    taken = f"another encoder has the spool {folder} open"
    db = open_writer(path, SCHEMA, opened, lock=folder / "lock", taken=taken)
    return db, open_reader(path, opened)
