"""The frame store's statements: what is read and written within one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ugicm_codec import StreamInfo
from ugicm_decoder.errors import FrameConflict, FrameNotFound, StoreDamaged
from ugicm_decoder.store.interface import (
    CameraSummary,
    Event,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    Gap,
    GapReason,
)
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "insert_frame",
    "insert_gap",
    "newest_position",
    "select_cameras",
    "select_events",
    "select_frame",
    "select_frames",
    "select_newest_frames",
    "store_id",
]

_SIGN = 1 << 63

_RECORD = (
    "camera, epoch, sequence, captured_ns, stored_ns, "
    "version, latents_id, height, width, quality_step, num_bytes"
)
_GAP = "camera, epoch, first_sequence, last_sequence, reason"
_BY_KEY = "camera = ? AND epoch = ? AND sequence = ?"


def insert_frame(db: sqlite3.Connection, frame: Frame, stored_ns: int) -> int | None:
    """Store a frame; return its position, or None where it is stored already.

    Raises:
        FrameConflict: the key is taken by other bytes.
    """
    checksum = sha256(frame.stream).digest()
    key = _key_columns(frame.key)
    taken = db.execute(f"SELECT sha256 FROM frame WHERE {_BY_KEY}", key).fetchone()
    if taken is not None:
        if taken[0] != checksum:
            raise FrameConflict(f"frame {frame.key} is stored already, with other bytes")
        return None
    position = _next_position(db)
    info = frame.info
    header = (info.version, info.latents_id, info.height, info.width, info.quality_step)
    db.execute(
        f"INSERT INTO frame (position, {_RECORD}, sha256, stream) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            position,
            *key,
            frame.captured_ns,
            stored_ns,
            *header,
            len(frame.stream),
            checksum,
            frame.stream,
        ),
    )
    db.execute(
        "INSERT INTO camera (name, num_frames, num_bytes) VALUES (?, 1, ?) "
        "ON CONFLICT (name) DO UPDATE SET "
        "num_frames = num_frames + 1, num_bytes = num_bytes + excluded.num_bytes",
        (frame.key.camera, len(frame.stream)),
    )
    return position


def insert_gap(db: sqlite3.Connection, gap: Gap, recorded_ns: int) -> int | None:
    """Store a gap; return its position, or None where it is stored already."""
    columns = (
        gap.camera,
        _signed(gap.epoch),
        _signed(gap.first_sequence),
        _signed(gap.last_sequence),
    )
    taken = db.execute(
        "SELECT 1 FROM gap "
        "WHERE camera = ? AND epoch = ? AND first_sequence = ? AND last_sequence = ?",
        columns,
    ).fetchone()
    if taken is not None:
        return None
    position = _next_position(db)
    db.execute(
        f"INSERT INTO gap (position, {_GAP}, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (position, *columns, int(gap.reason), recorded_ns),
    )
    return position


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
        StoreDamaged: the bytes have changed.
    """
    row = db.execute(
        f"SELECT {_RECORD}, sha256, stream FROM frame WHERE {_BY_KEY}", _key_columns(key)
    ).fetchone()
    if row is None:
        raise FrameNotFound(f"no frame {key} is stored")
    *columns, checksum, stream = row
    if sha256(stream).digest() != checksum:
        raise StoreDamaged(f"the stored bytes of frame {key} do not match their checksum")
    record = _record(columns)
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
        CameraSummary(name, FrameKey(name, _unsigned(epoch), _unsigned(sequence)), *numbers)
        for name, epoch, sequence, *numbers in rows
    ]


def select_frames(
    db: sqlite3.Connection, query: FrameQuery, after: FrameKey | None, limit: int
) -> list[FrameRecord]:
    """Return the frames that follow ``after`` in the order of the query."""
    further, direction = ("<", "DESC") if query.newest_first else (">", "ASC")
    conditions: list[tuple[str, tuple[Any, ...]]] = [("camera = ?", (query.camera,))]
    if query.epoch is not None:
        conditions.append(("epoch = ?", (_signed(query.epoch),)))
    if query.first_sequence is not None:
        conditions.append(("sequence >= ?", (_signed(query.first_sequence),)))
    if query.last_sequence is not None:
        conditions.append(("sequence <= ?", (_signed(query.last_sequence),)))
    if query.captured_from_ns is not None:
        conditions.append(("captured_ns >= ?", (query.captured_from_ns,)))
    if query.captured_before_ns is not None:
        conditions.append(("captured_ns < ?", (query.captured_before_ns,)))
    if after is not None:
        edge = (_signed(after.epoch), _signed(after.sequence))
        conditions.append((f"(epoch, sequence) {further} (?, ?)", edge))
    rows = db.execute(
        f"SELECT {_RECORD} FROM frame WHERE {' AND '.join(sql for sql, _ in conditions)} "
        f"ORDER BY epoch {direction}, sequence {direction} LIMIT ?",
        (*(value for _, values in conditions for value in values), limit),
    )
    return [_record(row) for row in rows]


def select_events(
    db: sqlite3.Connection, position: int, cameras: Sequence[str], limit: int
) -> Events:
    """Return what was stored behind ``position``; of all cameras where none is named."""
    chosen, names = _of_cameras(cameras)
    parameters = (position, *names, limit)
    frames = db.execute(
        f"SELECT position, {_RECORD} FROM frame WHERE position > ? {chosen} "
        "ORDER BY position LIMIT ?",
        parameters,
    )
    items = [Event(at, _record(columns)) for at, *columns in frames]
    gaps = db.execute(
        f"SELECT position, {_GAP} FROM gap WHERE position > ? {chosen} ORDER BY position LIMIT ?",
        parameters,
    )
    items += [Event(at, _gap(columns)) for at, *columns in gaps]
    items.sort(key=lambda event: event.position)
    if len(items) >= limit:
        del items[limit:]
        return Events(items, items[-1].position)
    return Events(items, newest_position(db))


def select_newest_frames(db: sqlite3.Connection, position: int, cameras: Sequence[str]) -> Events:
    """Return, of each camera, the last frame stored behind ``position``."""
    chosen, names = _of_cameras(cameras)
    rows = db.execute(
        f"SELECT position, {_RECORD} FROM frame WHERE position IN "
        f"(SELECT max(position) FROM frame WHERE position > ? {chosen} GROUP BY camera) "
        "ORDER BY position",
        (position, *names),
    )
    items = [Event(at, _record(columns)) for at, *columns in rows]
    return Events(items, newest_position(db))


def _next_position(db: sqlite3.Connection) -> int:
    db.execute("UPDATE store SET newest_position = newest_position + 1")
    return newest_position(db)


def _of_cameras(cameras: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    if not cameras:
        return "", ()
    return "AND camera IN (SELECT value FROM json_each(?))", (json.dumps(list(cameras)),)


def _key_columns(key: FrameKey) -> tuple[str, int, int]:
    return key.camera, _signed(key.epoch), _signed(key.sequence)


def _record(columns: Sequence[Any]) -> FrameRecord:
    camera, epoch, sequence, captured_ns, stored_ns, *header = columns
    key = FrameKey(camera, _unsigned(epoch), _unsigned(sequence))
    return FrameRecord(key, captured_ns, stored_ns, StreamInfo(*header))


def _gap(columns: Sequence[Any]) -> Gap:
    camera, epoch, first, last, reason = columns
    return Gap(camera, _unsigned(epoch), _unsigned(first), _unsigned(last), GapReason(reason))


def _signed(number: int) -> int:
    return number - _SIGN


def _unsigned(number: int) -> int:
    return number + _SIGN
