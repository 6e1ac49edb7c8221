"""The spool's tables, and how older files become current ones."""

from __future__ import annotations

import sqlite3

from ugicm_encoder.errors import SpoolUnusable

__all__ = ["check", "migrate"]

# "UGSP" in ASCII: tells a spool from any other SQLite file.
_APPLICATION_ID = 0x55475350

# Migration n takes a file from version n to n + 1. Append only: files of every release exist.
#
# Unsigned 64-bit epochs and sequences are stored less 2^63, which SQLite's signed integers keep in
# order. Positions number what was accepted in the order of acceptance; a gap keeps the position of
# the first frame that it stands for.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # One row: what all items come to, and the last position ever given.
        """
        CREATE TABLE spool (
            newest_position INTEGER NOT NULL,
            num_items INTEGER NOT NULL,
            num_bytes INTEGER NOT NULL
        )
        """,
        # What the decoder has yet to get, as it will be sent. num_bytes is that of the request.
        """
        CREATE TABLE item (
            position INTEGER PRIMARY KEY,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            num_bytes INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            request BLOB NOT NULL
        )
        """,
        "CREATE INDEX item_by_end ON item (camera, epoch, last_sequence)",
        # The high-water marks: the newest sequence that was accepted of each epoch.
        """
        CREATE TABLE mark (
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            position INTEGER NOT NULL,
            PRIMARY KEY (camera, epoch)
        ) WITHOUT ROWID
        """,
        # Which pictures were accepted, also after the decoder has them.
        """
        CREATE TABLE accepted (
            position INTEGER PRIMARY KEY,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            digest BLOB NOT NULL,
            UNIQUE (camera, epoch, sequence)
        )
        """,
        "INSERT INTO spool VALUES (0, 0, 0)",
    ),
)


def check(db: sqlite3.Connection) -> None:
    """Refuse a file that is not ours to change, and leave it as it is.

    Raises:
        SpoolUnusable: the file holds something else, or comes from a newer version.
    """
    version = _pragma(db, "user_version")
    if version == 0:
        is_ours = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    else:
        is_ours = _pragma(db, "application_id") == _APPLICATION_ID
    if not is_ours:
        raise SpoolUnusable("the file is an SQLite database, but not a spool")
    if version > len(_MIGRATIONS):
        raise SpoolUnusable(
            f"this encoder knows spools up to version {len(_MIGRATIONS)}, got {version}"
        )


def migrate(db: sqlite3.Connection) -> None:
    """Bring a checked file to the current version, each step in a transaction of its own."""
    version = _pragma(db, "user_version")
    for step, statements in enumerate(_MIGRATIONS[version:], start=version):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {step + 1}")
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])
