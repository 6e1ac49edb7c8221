"""Open the frame store's SQLite file; say in our words what goes wrong with it."""

from __future__ import annotations

import fcntl
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from ugicm_decoder.errors import StoreDamaged, StoreError, StoreFailed, StoreUnusable
from ugicm_decoder.store.schema import check, migrate
from ugicm_servicekit.durable import make_folder_durably

__all__ = [
    "file_bytes",
    "is_damage",
    "open_reader",
    "open_writer",
    "transaction",
    "typed",
    "wal_path",
]

_log = logging.getLogger(__name__)

_INCREMENTAL = 2

# The log is copied into the file whenever it has this many pages (16 MiB), and cut to as much.
_LOG_PAGES = 4096
_LOG_BYTES = _LOG_PAGES * 4096
_READERS_SECONDS = 0.25


def open_writer(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Open the file for the one connection that writes and checkpoints; make or migrate it.

    Raises:
        StoreUnusable: the file is no frame store of ours, or another decoder has it.
        sqlite3.Error: it cannot be read or written.
    """
    make_folder_durably(path.parent)
    with closing(_connect(path)) as db:
        check(db)
    opened.enter_context(_locked(path))
    db = opened.enter_context(closing(_connect(path)))
    # Counts for new files only, and before the log is chosen, which writes the first page.
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreUnusable(f"the file system of {path} cannot keep a write-ahead log")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    # How long a checkpoint waits for readers, and ingest for a stranger with the file open.
    db.execute(f"PRAGMA busy_timeout = {round(1000 * _READERS_SECONDS)}")
    migrate(db)
    _let_shrink(db, path)
    return db


def open_reader(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Open the file for reading only."""
    db = opened.enter_context(closing(_connect(path)))
    db.execute("PRAGMA query_only = ON")
    return db


def wal_path(path: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of ``path``."""
    return path.with_name(f"{path.name}-wal")


def file_bytes(path: Path) -> int:
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


def typed(error: sqlite3.Error) -> StoreError:
    """Return the error that callers are told of instead of ``error``."""
    if is_damage(error):
        return StoreDamaged(f"the frame store is damaged: {error}")
    return StoreFailed(f"the frame store failed: {error}")


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file's own structure is broken."""
    primary_code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
    return primary_code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _let_shrink(db: sqlite3.Connection, path: Path) -> None:
    """Rewrite a file from before version 2, so that it can give freed pages back."""
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return
    size, free = path.stat().st_size, shutil.disk_usage(path.parent).free
    try:
        if free < 3 * size:  # the copy, the log, and as much again to spare
            raise OSError(f"it takes {3 * size} bytes, {free} are free")
        _log.info("rewriting %s once, so that it can shrink: %d bytes", path, size)
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")
    except (OSError, sqlite3.OperationalError) as error:
        _log.warning("cannot rewrite %s, which stays as large as it is: %s", path, error)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other decoders away: positions are announced within one process only."""
    # A file of its own: closing any descriptor of the database would drop SQLite's locks on it.
    with path.with_name(f"{path.name}-lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreUnusable(f"another decoder has the frame store {path} open") from error
        yield


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are spelt out, and each connection has one user at a time.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
