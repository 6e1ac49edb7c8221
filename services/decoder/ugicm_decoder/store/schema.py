"""The frame store's tables, version by version."""

from __future__ import annotations

from ugicm_servicekit.sqlite import Schema

__all__ = ["SCHEMA"]

# "UGFS" in ASCII.
_APPLICATION_ID = 0x55474653

# Unsigned 64-bit epochs and sequences are stored less 2^63, which SQLite's signed integers keep in
# order. Positions number frames and gaps together in the order of their commits and are never used
# twice, so that a cursor stays true when older frames are deleted: the gap that stands for them
# takes the position of the last of them. The stream is the last column: listing frames never
# touches its pages.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE store (id BLOB NOT NULL, newest_position INTEGER NOT NULL)",
        """
        CREATE TABLE frame (
            position INTEGER PRIMARY KEY,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            captured_ns INTEGER NOT NULL,
            stored_ns INTEGER NOT NULL,
            version INTEGER NOT NULL,
            latents_id BLOB NOT NULL,
            height INTEGER NOT NULL,
            width INTEGER NOT NULL,
            quality_step INTEGER NOT NULL,
            num_bytes INTEGER NOT NULL,
            sha256 BLOB NOT NULL,
            stream BLOB NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX frame_by_key ON frame (camera, epoch, sequence)",
        "CREATE INDEX frame_by_time ON frame (camera, captured_ns)",
        """
        CREATE TABLE camera (
            name TEXT PRIMARY KEY,
            num_frames INTEGER NOT NULL,
            num_bytes INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE gap (
            position INTEGER PRIMARY KEY,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            reason INTEGER NOT NULL,
            recorded_ns INTEGER NOT NULL,
            UNIQUE (camera, epoch, first_sequence, last_sequence)
        )
        """,
        "INSERT INTO store VALUES (randomblob(8), 0)",
    ),
    # For retention: gaps of removed frames (reason 2) grow, and are looked up by key; the rest is
    # found by age. A reader of the newest frames need not look at all others.
    (
        "ALTER TABLE gap RENAME TO gap_before",
        """
        CREATE TABLE gap (
            position INTEGER PRIMARY KEY,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            reason INTEGER NOT NULL,
            recorded_ns INTEGER NOT NULL
        )
        """,
        """
        INSERT INTO gap SELECT
            position, camera, epoch, first_sequence, last_sequence, reason, recorded_ns
        FROM gap_before
        """,
        "DROP TABLE gap_before",
        "CREATE INDEX gap_by_key ON gap (camera, epoch, reason, first_sequence)",
        "CREATE INDEX gap_by_age ON gap (recorded_ns) WHERE reason <> 2",
        "CREATE INDEX frame_by_age ON frame (stored_ns)",
        "ALTER TABLE camera ADD COLUMN newest_position INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE camera SET newest_position =
            (SELECT coalesce(max(position), 0) FROM frame WHERE camera = camera.name)
        """,
    ),
    # For retention in the order of arrival: which positions had been given by the end of a second.
    # Seconds count the time that the store was open, and clock_ns is what the clock said then.
    (
        "CREATE INDEX frame_by_arrival ON frame (camera)",
        "DROP INDEX frame_by_age",
        "DROP INDEX gap_by_age",
        "CREATE INDEX gap_by_arrival ON gap (position) WHERE reason <> 2",
        """
        CREATE TABLE arrival (
            second INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            clock_ns INTEGER NOT NULL
        )
        """,
        # A clock that was put back while frames were stored: they are as young as the one before.
        """
        INSERT INTO arrival SELECT latest_ns / 1000000000, max(position), max(latest_ns)
        FROM (SELECT position, max(stored_ns) OVER (ORDER BY position) AS latest_ns FROM frame)
        GROUP BY 1
        """,
    ),
)

SCHEMA = Schema("frame store", _APPLICATION_ID, _MIGRATIONS)
