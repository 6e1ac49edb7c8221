"""Open a database's file, for the one that writes and those that read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from ugicm_servicekit.durable import make_folder_durably
from ugicm_servicekit.errors import DatabaseUnusable
from ugicm_servicekit.locking import held
from ugicm_servicekit.sqlite.schema import Schema

__all__ = [
    "database_bytes",
    "is_damage",
    "open_reader",
    "open_writer",
    "transaction",
    "wal_path",
]

# The log is copied into the file whenever it has this many pages (16 MiB), and cut to as much.
_LOG_PAGES = 4096
_LOG_BYTES = _LOG_PAGES * 4096
# How long a checkpoint waits for readers, and a write for a stranger with the file open.
_BUSY_SECONDS = 0.25


def open_writer(
    path: Path, schema: Schema, opened: ExitStack, *, lock: Path, taken: str
) -> sqlite3.Connection:
    """Open the file for the one connection that writes; make or migrate it.

    What it commits is durable: a write-ahead log, synchronised with each commit. A new file can
    give freed pages back (``Space``). Transactions are spelt out.

    Args:
        path: the database's file; missing folders are made.
        schema: what the file must hold.
        opened: closes the connection, and lets go of the lock.
        lock: a file that keeps other processes away.
        taken: what to say where one has it.

    Raises:
        DatabaseUnusable: the file holds something else, or another process has it.
        OSError, sqlite3.Error: it cannot be read or written.
    """
    make_folder_durably(path.parent)
    # Before the lock, which leaves a file behind: a stranger's folder stays as it is.
    with closing(_connect(path)) as db:
        schema.check(db)
    opened.enter_context(held(lock, taken=DatabaseUnusable(taken)))
    db = opened.enter_context(closing(_connect(path)))
    # Counts for new files only, and before the log is chosen, which writes the first page.
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise DatabaseUnusable(f"the file system of {path} cannot keep a write-ahead log")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    db.execute(f"PRAGMA busy_timeout = {round(1000 * _BUSY_SECONDS)}")
    schema.migrate(db)
    return db


def open_reader(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Open the file for reading only."""
    db = opened.enter_context(closing(_connect(path)))
    db.execute("PRAGMA query_only = ON")
    return db


def wal_path(path: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of ``path``."""
    return path.with_name(f"{path.name}-wal")


def database_bytes(path: Path) -> int:
    """Return what the database and its write-ahead log take on the disk."""
    return sum(file.stat().st_size for file in (path, wal_path(path)) if file.exists())


@contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Commit what the block does, or nothing of it where it raises."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file's own structure is broken."""
    primary_code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
    return primary_code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are spelt out, and each connection has one user at a time.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
