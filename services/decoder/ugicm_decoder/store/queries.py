"""The frame store's statements that only read; each call sees the state of one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ugicm_decoder.errors import FrameDamaged, FrameNotFound
from ugicm_decoder.store.inserts import removed_gap
from ugicm_decoder.store.interface import (
    CameraSummary,
    Event,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
)
from ugicm_decoder.store.rows import (
    BY_KEY,
    GAP,
    RECORD,
    gap_of,
    key_columns,
    record_of,
    signed,
    unsigned,
)
from ugicm_servicekit.sqlite import is_damage
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "newest_position",
    "select_cameras",
    "select_events",
    "select_frame",
    "select_frames",
    "select_newest_frames",
    "store_id",
]


def store_id(db: sqlite3.Connection) -> bytes:
    """Return the 8 bytes drawn when the store was made."""
    return bytes(db.execute("SELECT id FROM store").fetchone()[0])


def newest_position(db: sqlite3.Connection) -> int:
    """Return the position of what was stored last."""
    return int(db.execute("SELECT newest_position FROM store").fetchone()[0])


def select_frame(db: sqlite3.Connection, key: FrameKey) -> Frame:
    """Return a frame after comparing its bytes with their checksum.

    Raises:
        FrameNotFound: no frame has the key.
        FrameDamaged: the bytes have changed.
    """
    columns = key_columns(key)
    row = db.execute(f"SELECT {RECORD}, sha256 FROM frame WHERE {BY_KEY}", columns).fetchone()
    if row is None:
        why = "" if removed_gap(db, columns) is None else ": retention removed it"
        raise FrameNotFound(f"no frame {key} is stored{why}")
    *record_columns, checksum = row
    stream = _stream(db, key)
    if stream is None or sha256(stream).digest() != checksum:
        raise FrameDamaged(f"the stored bytes of frame {key} do not match their checksum")
    record = record_of(record_columns)
    return Frame(record.key, record.captured_ns, record.info, stream)


def select_cameras(db: sqlite3.Connection, after: str, limit: int) -> list[CameraSummary]:
    """Return the cameras whose names follow ``after``, by name."""
    rows = db.execute(
        """
        SELECT camera.name, newest.epoch, newest.sequence,
            (SELECT min(captured_ns) FROM frame WHERE camera = camera.name),
            (SELECT max(captured_ns) FROM frame WHERE camera = camera.name),
            num_frames, camera.num_bytes
        FROM camera JOIN frame AS newest ON newest.position = (
            SELECT position FROM frame WHERE camera = camera.name
            ORDER BY epoch DESC, sequence DESC LIMIT 1
        )
        WHERE camera.name > ? ORDER BY camera.name LIMIT ?
        """,
        (after, limit),
    )
    return [
        CameraSummary(name, FrameKey(name, unsigned(epoch), unsigned(sequence)), *numbers)
        for name, epoch, sequence, *numbers in rows
    ]


def select_frames(
    db: sqlite3.Connection, query: FrameQuery, after: FrameKey | None, limit: int
) -> list[FrameRecord]:
    """Return the frames that follow ``after`` in the order of the query."""
    further, direction = ("<", "DESC") if query.newest_first else (">", "ASC")
    conditions: list[tuple[str, tuple[Any, ...]]] = [("camera = ?", (query.camera,))]
    if query.epoch is not None:
        conditions.append(("epoch = ?", (signed(query.epoch),)))
    if query.first_sequence is not None:
        conditions.append(("sequence >= ?", (signed(query.first_sequence),)))
    if query.last_sequence is not None:
        conditions.append(("sequence <= ?", (signed(query.last_sequence),)))
    if query.captured_from_ns is not None:
        conditions.append(("captured_ns >= ?", (query.captured_from_ns,)))
    if query.captured_before_ns is not None:
        conditions.append(("captured_ns < ?", (query.captured_before_ns,)))
    if after is not None:
        edge = (signed(after.epoch), signed(after.sequence))
        conditions.append((f"(epoch, sequence) {further} (?, ?)", edge))
    rows = db.execute(
        f"SELECT {RECORD} FROM frame WHERE {' AND '.join(sql for sql, _ in conditions)} "
        f"ORDER BY epoch {direction}, sequence {direction} LIMIT ?",
        (*(value for _, values in conditions for value in values), limit),
    )
    return [record_of(row) for row in rows]


def select_events(
    db: sqlite3.Connection, position: int, cameras: Sequence[str], limit: int
) -> Events:
    """Return what was stored behind ``position``; of all cameras where none is named."""
    chosen, names = _of_cameras(cameras)
    parameters = (position, *names, limit)
    frames = db.execute(
        f"SELECT position, {RECORD} FROM frame WHERE position > ? {chosen} "
        "ORDER BY position LIMIT ?",
        parameters,
    )
    items = [Event(at, record_of(columns)) for at, *columns in frames]
    gaps = db.execute(
        f"SELECT position, {GAP} FROM gap WHERE position > ? {chosen} ORDER BY position LIMIT ?",
        parameters,
    )
    items += [Event(at, gap_of(columns)) for at, *columns in gaps]
    items.sort(key=lambda event: event.position)
    if len(items) >= limit:
        del items[limit:]
        return Events(items, items[-1].position)
    return Events(items, newest_position(db))


def select_newest_frames(db: sqlite3.Connection, position: int, cameras: Sequence[str]) -> Events:
    """Return, of each camera, the last frame stored, where that is behind ``position``."""
    chosen, names = _of_cameras(cameras)
    rows = db.execute(
        f"SELECT position, {RECORD} FROM frame WHERE position IN "
        "(SELECT newest_position FROM camera WHERE newest_position > ?) "
        f"{chosen} ORDER BY position",
        (position, *names),
    )
    items = [Event(at, record_of(columns)) for at, *columns in rows]
    return Events(items, newest_position(db))


def _stream(db: sqlite3.Connection, key: FrameKey) -> bytes | None:
    """Return a frame's bytes, or None where the pages that hold them are broken."""
    try:
        (stream,) = db.execute(
            f"SELECT stream FROM frame WHERE {BY_KEY}", key_columns(key)
        ).fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return None
        raise
    # A vandal's text or number is no stream either.
    return stream if isinstance(stream, bytes) else None


def _of_cameras(cameras: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    if not cameras:
        return "", ()
    # The plus keeps SQLite from reading and sorting all that these cameras ever had.
    return "AND +camera IN (SELECT value FROM json_each(?))", (json.dumps(list(cameras)),)
