"""What is written when frames and gaps come; each call writes all of its rows or none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

from ugicm_decoder.errors import FrameConflict
from ugicm_decoder.store.interface import Frame, FrameRecord, Gap, GapReason, PutOutcome
from ugicm_decoder.store.room import Room
from ugicm_decoder.store.rows import BY_KEY, GAP, RECORD, gap_columns, key_columns, unsigned

__all__ = [
    "insert_damage",
    "insert_frame",
    "insert_gap",
    "is_told",
    "removed_gap",
    "untold",
    "write_frame",
    "write_gap",
]


def insert_frame(db: sqlite3.Connection, frame: Frame, stored_ns: int, room: Room) -> PutOutcome:
    """Store a frame that is not stored, and was not removed by retention either.

    Raises:
        FrameConflict: the key is taken by other bytes.
        StoreFull: there is no room for the frame.
    """
    checksum = sha256(frame.stream).digest()
    key = key_columns(frame.key)
    taken = db.execute(f"SELECT sha256 FROM frame WHERE {BY_KEY}", key).fetchone()
    if taken is not None:
        if taken[0] != checksum:
            raise FrameConflict(f"frame {frame.key} is stored already, with other bytes")
        return PutOutcome.DUPLICATE
    if removed_gap(db, key) is not None:
        return PutOutcome.DUPLICATE
    room.take(len(frame.stream), camera=frame.key.camera, epoch=frame.key.epoch)
    record = FrameRecord(frame.key, frame.captured_ns, stored_ns, frame.info)
    write_frame(db, _next_position(db), record, checksum, frame.stream)
    return PutOutcome.STORED


def insert_gap(db: sqlite3.Connection, gap: Gap, recorded_ns: int, room: Room) -> PutOutcome:
    """Store a gap that is not stored, less the frames at its beginning that are.

    An encoder that never heard of their storing may have dropped them as well.

    Raises:
        StoreFull: there is no room for it.
    """
    missing = untold(db, gap)
    if missing is None:
        return PutOutcome.DUPLICATE
    room.take(0, camera=gap.camera, epoch=gap.epoch)
    write_gap(db, _next_position(db), missing, recorded_ns)
    return PutOutcome.STORED


def insert_damage(db: sqlite3.Connection, gap: Gap, recorded_ns: int) -> None:
    """Store once that a frame is damaged; it takes from what is kept free on the disk."""
    if not is_told(db, gap):
        write_gap(db, _next_position(db), gap, recorded_ns)


def write_frame(
    db: sqlite3.Connection, position: int, record: FrameRecord, checksum: bytes, stream: bytes
) -> None:
    """Write the rows of a frame whose key has none, at a position behind all others."""
    info = record.info
    header = (info.version, info.latents_id, info.height, info.width, info.quality_step)
    db.execute(
        f"INSERT INTO frame (position, {RECORD}, sha256, stream) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            position,
            *key_columns(record.key),
            record.captured_ns,
            record.stored_ns,
            *header,
            info.num_bytes,
            checksum,
            stream,
        ),
    )
    db.execute(
        "INSERT INTO camera (name, num_frames, num_bytes, newest_position) VALUES (?, 1, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET num_frames = num_frames + 1, "
        "num_bytes = num_bytes + excluded.num_bytes, newest_position = excluded.newest_position",
        (record.key.camera, info.num_bytes, position),
    )


def write_gap(db: sqlite3.Connection, position: int, gap: Gap, recorded_ns: int) -> None:
    """Write the row of a gap, at a position that has none."""
    db.execute(
        f"INSERT INTO gap (position, {GAP}, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (position, *gap_columns(gap), recorded_ns),
    )


def untold(db: sqlite3.Connection, gap: Gap) -> Gap | None:
    """Return what of a gap is to be stored: less the frames at its beginning; None: nothing."""
    missing = _without_stored(db, gap)
    return None if missing is None or is_told(db, missing) else missing


def is_told(db: sqlite3.Connection, gap: Gap) -> bool:
    """Tell whether a stored gap of the same reason covers ``gap``."""
    return _gap_over(db, gap_columns(gap)) is not None


def removed_gap(db: sqlite3.Connection, key: tuple[str, int, int]) -> int | None:
    """Return the position of the gap that tells of a key's removal by retention, if any."""
    camera, epoch, sequence = key
    return _gap_over(db, (camera, epoch, sequence, sequence, int(GapReason.RETENTION)))


def _gap_over(db: sqlite3.Connection, columns: tuple[str, int, int, int, int]) -> int | None:
    camera, epoch, first, last, reason = columns
    # Gaps of one reason hardly overlap: the nearest that begins before is the one to look at.
    row = db.execute(
        "SELECT position, last_sequence FROM gap "
        "WHERE camera = ? AND epoch = ? AND reason = ? AND first_sequence <= ? "
        "ORDER BY first_sequence DESC, last_sequence DESC LIMIT 1",
        (camera, epoch, reason, first),
    ).fetchone()
    return int(row[0]) if row is not None and row[1] >= last else None


def _without_stored(db: sqlite3.Connection, gap: Gap) -> Gap | None:
    camera, epoch, first, last, _ = gap_columns(gap)
    stored = db.execute(
        "SELECT sequence FROM frame WHERE camera = ? AND epoch = ? "
        "AND sequence BETWEEN ? AND ? ORDER BY sequence",
        (camera, epoch, first, last),
    )
    with closing(stored):
        for (sequence,) in stored:
            if sequence != first:
                break
            first += 1
    return replace(gap, first_sequence=unsigned(first)) if first <= last else None


def _next_position(db: sqlite3.Connection) -> int:
    statement = "UPDATE store SET newest_position = newest_position + 1 RETURNING newest_position"
    ((position,),) = db.execute(statement).fetchall()
    return int(position)
