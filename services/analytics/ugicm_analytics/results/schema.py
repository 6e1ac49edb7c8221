"""The results store's tables, and how older files become current ones."""

from __future__ import annotations

from ugicm_servicekit.sqlite import Schema

__all__ = ["SCHEMA"]

# Unsigned 64-bit epochs and sequences are stored less 2^63. A result's body is an
# ugicm.v1.AnalyzerResult, whose numbers are forever; its labels and scores stand again in
# ``finding``, to be searched. An area of a segmenter has no score.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE picture (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            view REAL NOT NULL,
            captured_ns INTEGER NOT NULL,
            stored_ns INTEGER NOT NULL,
            height INTEGER NOT NULL,
            width INTEGER NOT NULL,
            model_sha256 TEXT NOT NULL,
            UNIQUE (camera, epoch, sequence, view)
        )
        """,
        "CREATE INDEX picture_by_time ON picture (captured_ns, id)",
        "CREATE INDEX picture_by_camera ON picture (camera, captured_ns, id)",
        """
        CREATE TABLE result (
            id INTEGER PRIMARY KEY,
            picture INTEGER NOT NULL REFERENCES picture (id) ON DELETE CASCADE,
            analyzer TEXT NOT NULL,
            version TEXT NOT NULL,
            labels TEXT NOT NULL,
            stored_ns INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            crc32 INTEGER NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (picture, analyzer, version, labels)
        )
        """,
        """
        CREATE TABLE finding (
            result INTEGER NOT NULL REFERENCES result (id) ON DELETE CASCADE,
            label TEXT NOT NULL,
            score REAL
        )
        """,
        "CREATE INDEX finding_by_result ON finding (result, label, score)",
        """
        CREATE TABLE missed (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            analyzer TEXT NOT NULL,
            camera TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            recorded_ns INTEGER NOT NULL,
            gap_reason INTEGER,
            failure BLOB,
            UNIQUE (analyzer, camera, epoch, first_sequence, last_sequence)
        )
        """,
        """
        CREATE TABLE watch (
            name TEXT PRIMARY KEY,
            cursor BLOB NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    # For retention in the order of storing: which rows there were by the end of a second. Seconds
    # count the time that the store was open, and clock_ns is what the clock said then.
    (
        """
        CREATE TABLE picture_arrival (
            second INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            clock_ns INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE missed_arrival (
            second INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            clock_ns INTEGER NOT NULL
        )
        """,
        # A clock that was put back meanwhile: rows are as young as the one before.
        """
        INSERT INTO picture_arrival SELECT latest_ns / 1000000000, max(id), max(latest_ns)
        FROM (SELECT id, max(stored_ns) OVER (ORDER BY id) AS latest_ns FROM picture) GROUP BY 1
        """,
        """
        INSERT INTO missed_arrival SELECT latest_ns / 1000000000, max(id), max(latest_ns)
        FROM (SELECT id, max(recorded_ns) OVER (ORDER BY id) AS latest_ns FROM missed) GROUP BY 1
        """,
    ),
)

SCHEMA = Schema(name="results store", application_id=0x55475253, migrations=_MIGRATIONS)  # "UGRS"
