"""What a decoder knows of a stream without its bytes: any decoder finds it out by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TypeVar

from ugicm_decoder.store.connections import open_writer, typed
from ugicm_decoder.store.inserts import write_frame, write_gap
from ugicm_decoder.store.interface import FrameRecord, Gap, GapReason
from ugicm_decoder.store.jetstream.marks import Mark
from ugicm_decoder.store.jetstream.messages import Head
from ugicm_decoder.store.queries import newest_position
from ugicm_decoder.store.removals import (
    Budget,
    Doomed,
    Run,
    join_touching,
    remove_frames,
    remove_old_gaps,
    select_beyond_age,
)
from ugicm_decoder.store.rows import BY_KEY, RECORD, key_columns, record_of, unsigned
from ugicm_servicekit.sqlite import Readers, open_reader, transaction
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "Index",
    "Known",
    "add",
    "add_marks",
    "advance",
    "remove_before",
    "select_doomed",
    "select_known",
    "select_mark",
]

_Result = TypeVar("_Result")

_NUM_READERS = 2
_STEP_FRAMES = 4096
_STEP_GAPS = 512


@dataclass(frozen=True)
class Known:
    """Where a frame lies in the stream, and what its bytes hash to."""

    position: int
    record: FrameRecord
    checksum: bytes


class Index:
    """The frame store's tables without streams, in a file that goes with the process.

    Positions are the numbers that the stream gives its messages.

    Raises:
        OSError, sqlite3.Error: there is no room for temporary files.
    """

    def __init__(self, store_id: bytes) -> None:
        with ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="ugicm-frames-"))
            path = Path(folder) / "index.sqlite"
            self._db = open_writer(path, opened)
            # Nothing is lost with it: the stream has it all.
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("UPDATE store SET id = ?", (store_id,))
            connections = [open_reader(path, opened) for _ in range(_NUM_READERS)]
            self._readers = Readers(connections, name="index-reader", failed=typed)
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
            self._opened = opened.pop_all()

    async def read(self, select: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what ``select`` returns, which sees one state throughout."""
        return await self._readers.run(select)

    async def write(self, change: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what ``change`` returns, once all of it is to be seen."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, self._in_transaction, change)

    async def close(self) -> None:
        """Finish what is under way, and forget all."""
        await asyncio.to_thread(self._writer.shutdown)
        await self._readers.close()
        self._opened.close()

    def _in_transaction(self, change: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            with transaction(self._db, "IMMEDIATE"):
                return change(self._db)
        except sqlite3.Error as error:
            raise typed(error) from error


def select_known(db: sqlite3.Connection, key: FrameKey) -> Known | None:
    """Return what is known of a frame."""
    row = db.execute(
        f"SELECT position, sha256, {RECORD} FROM frame WHERE {BY_KEY}", key_columns(key)
    ).fetchone()
    return None if row is None else Known(row[0], record_of(row[2:]), row[1])


def add(db: sqlite3.Connection, heads: Iterable[tuple[int, int, Head]], position: int) -> None:
    """Add messages, each with its position and time of storing, up to ``position``."""
    for at, stored_ns, head in heads:
        if isinstance(head.what, FrameRecord):
            _forget(db, head.what.key)
            write_frame(db, at, head.what, head.sha256, b"")
        else:
            write_gap(db, at, head.what, stored_ns)
    advance(db, position)


def _forget(db: sqlite3.Connection, key: FrameKey) -> None:
    """Make room for a frame that is stored again, as it can be where nobody marked its removal."""
    known = select_known(db, key)
    if known is not None:
        db.execute("DELETE FROM frame WHERE position = ?", (known.position,))
        db.execute(
            "UPDATE camera SET num_frames = num_frames - 1, num_bytes = num_bytes - ? "
            "WHERE name = ?",
            (known.record.info.num_bytes, key.camera),
        )


def advance(db: sqlite3.Connection, position: int) -> None:
    """Note that nothing more is to be known up to ``position``."""
    if position > newest_position(db):
        db.execute("UPDATE store SET newest_position = ?", (position,))


def remove_before(
    db: sqlite3.Connection, first: int, now_ns: int
) -> tuple[set[tuple[str, int]], bool]:
    """Do a step of removing what the stream no longer has, before the position ``first``.

    Returns:
        the cameras and epochs of removed frames, as stored; whether there may be more.
    """
    budget = Budget(frames=_STEP_FRAMES, num_bytes=2**62)
    doomed = select_beyond_age(db, first - 1, budget)
    remove_frames(db, doomed, now_ns)
    remove_old_gaps(db, first - 1, limit=_STEP_GAPS)
    advance(db, first - 1)
    return {(one.camera, one.epoch) for one in doomed}, budget.is_spent


def select_doomed(
    db: sqlite3.Connection, behind: int, *, stored_before_ns: int, num_bytes: int
) -> list[Doomed]:
    """Return what goes next behind a position: frames so old, or of the first so many bytes."""
    ((before,),) = db.execute(
        "SELECT coalesce(sum(num_bytes), 0) FROM frame WHERE position <= ?", (behind,)
    ).fetchall()
    num_bytes -= before
    chosen: list[Doomed] = []
    rows = db.execute(
        "SELECT position, camera, epoch, sequence, num_bytes, stored_ns FROM frame "
        "WHERE position > ? ORDER BY position LIMIT ?",
        (behind, _STEP_FRAMES),
    )
    with closing(rows):
        for *columns, stored_ns in rows:
            if num_bytes <= 0 and stored_ns >= stored_before_ns:
                break
            doomed = Doomed(*columns)
            chosen.append(doomed)
            num_bytes -= doomed.num_bytes
    return chosen


def select_mark(db: sqlite3.Connection, camera: str, epoch: int, doomed: Iterable[Doomed]) -> Mark:
    """Return what is known to be gone of an epoch, and what will be, as one mark."""
    rows = db.execute(
        "SELECT first_sequence, last_sequence, position FROM gap "
        "WHERE camera = ? AND epoch = ? AND reason = ?",
        (camera, epoch, int(GapReason.RETENTION)),
    )
    soon = [Run(one.sequence, one.sequence, one.position) for one in doomed]
    return Mark(camera, epoch, tuple(join_touching([*starmap(Run, rows), *soon])))


def add_marks(db: sqlite3.Connection, marks: Iterable[Mark], first: int, now_ns: int) -> None:
    """Add gaps for what marks name and the stream, which begins at ``first``, no longer has.

    Where a part of a run is left, nobody knows any more which position its last removed frame had:
    its gap stands as near before the stream's first message as no other gap does.
    """
    taken = {at for (at,) in db.execute("SELECT position FROM gap")}
    for mark in marks:
        for run in mark.runs:
            for gone in _without_stored(db, mark, run):
                at = min(gone.position, first - 1)
                while at in taken:
                    at -= 1
                taken.add(at)
                span = (unsigned(gone.first), unsigned(gone.last))
                gap = Gap(mark.camera, unsigned(mark.epoch), *span, GapReason.RETENTION)
                write_gap(db, at, gap, now_ns)


def _without_stored(db: sqlite3.Connection, mark: Mark, run: Run) -> Iterator[Run]:
    first = run.first
    stored = db.execute(
        "SELECT sequence FROM frame WHERE camera = ? AND epoch = ? "
        "AND sequence BETWEEN ? AND ? ORDER BY sequence",
        (mark.camera, mark.epoch, run.first, run.last),
    ).fetchall()
    for (sequence,) in stored:
        if first < sequence:
            yield Run(first, sequence - 1, run.position)
        first = sequence + 1
    if first <= run.last:
        yield Run(first, run.last, run.position)
