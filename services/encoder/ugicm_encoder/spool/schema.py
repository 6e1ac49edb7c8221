"""The spool's tables, version by version."""

from __future__ import annotations

from ugicm_servicekit.sqlite import Schema

__all__ = ["SCHEMA"]

# "UGSP" in ASCII.
_APPLICATION_ID = 0x55475350

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

SCHEMA = Schema("spool", _APPLICATION_ID, _MIGRATIONS)
