"""The spool's statements: what is read and written within one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_servicekit.sqlite import signed, unsigned
from ugicm_servicekit.wire import FrameKey

__all__ = [
    "Row",
    "delete_items",
    "find_digest",
    "find_mark",
    "forget_accepted",
    "free_file_bytes",
    "insert_frame",
    "oldest_frame",
    "replace_by_gap",
    "select_items",
    "totals",
]

# A high-water mark outlives the digests of its epoch by this factor.
_MARKS_PER_DIGEST = 16


class _Kind(IntEnum):
    """What an item is."""

    FRAME = 1
    GAP = 2


@dataclass(frozen=True)
class Row:
    """An item as it lies in the file; its request may be damaged."""

    position: int
    camera: str
    epoch: int
    first_sequence: int
    last_sequence: int
    num_bytes: int
    is_frame: bool
    checksum: bytes = field(repr=False)
    request: bytes = field(repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether the request is what was written."""
        return sha256(self.request).digest() == self.checksum


def totals(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the newest position, how many items wait, and their bytes."""
    newest, num_items, num_bytes = db.execute(
        "SELECT newest_position, num_items, num_bytes FROM spool"
    ).fetchone()
    return newest, num_items, num_bytes


def find_mark(db: sqlite3.Connection, key: FrameKey) -> int | None:
    """Return the newest accepted sequence of a key's epoch."""
    row = db.execute(
        "SELECT sequence FROM mark WHERE camera = ? AND epoch = ?",
        (key.camera, signed(key.epoch)),
    ).fetchone()
    return None if row is None else unsigned(row[0])


def find_digest(db: sqlite3.Connection, key: FrameKey) -> bytes | None:
    """Return the digest that was accepted under a key, while it is remembered."""
    row = db.execute(
        "SELECT digest FROM accepted WHERE camera = ? AND epoch = ? AND sequence = ?",
        (key.camera, signed(key.epoch), signed(key.sequence)),
    ).fetchone()
    return None if row is None else bytes(row[0])


def insert_frame(db: sqlite3.Connection, key: FrameKey, request: bytes, digest: bytes) -> None:
    """Accept a frame: the item, what it is known by, and the mark of its epoch."""
    columns = (key.camera, signed(key.epoch), signed(key.sequence))
    db.execute(
        "UPDATE spool SET newest_position = newest_position + 1, num_items = num_items + 1, "
        "num_bytes = num_bytes + ?",
        (len(request),),
    )
    position = totals(db)[0]
    _insert_item(db, position, (*columns, columns[-1]), _Kind.FRAME, request)
    db.execute("INSERT INTO accepted VALUES (?, ?, ?, ?, ?)", (position, *columns, digest))
    db.execute(
        "INSERT INTO mark VALUES (?, ?, ?, ?) ON CONFLICT (camera, epoch) "
        "DO UPDATE SET sequence = excluded.sequence, position = excluded.position",
        (*columns, position),
    )


def forget_accepted(db: sqlite3.Connection, remembered: int) -> None:
    """Forget the digests of all but the newest accepted frames, and marks of long ago."""
    newest = totals(db)[0]
    db.execute("DELETE FROM accepted WHERE position <= ?", (newest - remembered,))
    if newest % remembered == 0:  # a look at every mark; rarely worth it
        oldest = newest - _MARKS_PER_DIGEST * remembered
        db.execute("DELETE FROM mark WHERE position <= ?", (oldest,))


def select_items(db: sqlite3.Connection, after: int, limit: int) -> list[Row]:
    """Return the items behind a position, in order."""
    rows = db.execute(
        "SELECT position, camera, epoch, first_sequence, last_sequence, num_bytes, kind, sha256, "
        "request FROM item WHERE position > ? ORDER BY position LIMIT ?",
        (after, limit),
    )
    return [
        Row(
            position,
            camera,
            unsigned(epoch),
            unsigned(first),
            unsigned(last),
            num_bytes,
            kind == _Kind.FRAME,
            checksum,
            request,
        )
        for position, camera, epoch, first, last, num_bytes, kind, checksum, request in rows
    ]


def delete_items(db: sqlite3.Connection, positions: Sequence[int]) -> None:
    """Delete items; those that are gone already are no error."""
    for position in positions:
        row = db.execute(
            "DELETE FROM item WHERE position = ? RETURNING num_bytes", (position,)
        ).fetchone()
        if row is not None:
            _add_to_totals(db, -1, -row[0])


def oldest_frame(db: sqlite3.Connection, after: int) -> Row | None:
    """Return the first frame behind a position, without its request."""
    row = db.execute(
        "SELECT position, camera, epoch, first_sequence, last_sequence, num_bytes FROM item "
        "WHERE position > ? AND kind = ? ORDER BY position LIMIT 1",
        (after, _Kind.FRAME),
    ).fetchone()
    if row is None:
        return None
    position, camera, epoch, first, last, num_bytes = row
    return Row(
        position,
        camera,
        unsigned(epoch),
        unsigned(first),
        unsigned(last),
        num_bytes,
        True,
        b"",
        b"",
    )


def replace_by_gap(
    db: sqlite3.Connection, lost: Row, reason: types_pb2.GapReason.ValueType, after: int
) -> Row:
    """Put a gap where an item was; one that ends right before it, behind ``after``, grows instead.

    Returns:
        The gap.
    """
    delete_items(db, [lost.position])
    first, position = lost.first_sequence, lost.position
    # Compared from the side that cannot leave SQLite's range.
    before = db.execute(
        "SELECT position, first_sequence, request FROM item WHERE camera = ? AND epoch = ? "
        "AND last_sequence < ? AND last_sequence + 1 = ? AND kind = ? "
        "AND position > ? AND position < ?",
        (lost.camera, signed(lost.epoch), *2 * (signed(first),), _Kind.GAP, after, position),
    ).fetchone()
    if before is not None:
        gap = decoder_pb2.IngestRequest.FromString(before[2]).gap
        if gap.reason == reason:
            position, first = before[0], unsigned(before[1])
            delete_items(db, [position])
    request = decoder_pb2.IngestRequest(
        gap=types_pb2.Gap(
            camera=lost.camera,
            epoch=lost.epoch,
            first_sequence=first,
            last_sequence=lost.last_sequence,
            reason=reason,
        )
    ).SerializeToString()
    ends = (lost.camera, signed(lost.epoch), signed(first), signed(lost.last_sequence))
    _insert_item(db, position, ends, _Kind.GAP, request)
    _add_to_totals(db, 1, len(request))
    return Row(
        position,
        lost.camera,
        lost.epoch,
        first,
        lost.last_sequence,
        len(request),
        False,
        sha256(request).digest(),
        request,
    )


def free_file_bytes(db: sqlite3.Connection) -> int:
    """Return how many bytes of the file wait to be used again."""
    pages, page_bytes = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size")
    )
    return int(pages * page_bytes)


def _insert_item(
    db: sqlite3.Connection,
    position: int,
    ends: tuple[str, int, int, int],
    kind: _Kind,
    request: bytes,
) -> None:
    db.execute(
        "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (position, *ends, kind, len(request), sha256(request).digest(), request),
    )


def _add_to_totals(db: sqlite3.Connection, num_items: int, num_bytes: int) -> None:
    db.execute(
        "UPDATE spool SET num_items = num_items + ?, num_bytes = num_bytes + ?",
        (num_items, num_bytes),
    )
