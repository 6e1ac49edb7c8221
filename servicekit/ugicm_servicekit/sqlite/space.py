"""Give space back that a database has freed, and keep its log short."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from pathlib import Path

from ugicm_servicekit.sqlite.connections import wal_path

__all__ = ["Space", "let_shrink"]

_log = logging.getLogger(__name__)

_INCREMENTAL = 2

# One step takes some 20 ms at the most, which is what a commit may have to wait for it.
_STEP_PAGES = 256
# Free pages that are kept for what comes next: giving them back moves others.
_SPARE_PAGES = 4096
# The write-ahead log is this large only while readers hold up its copying.
_MOST_LOG_BYTES = 64 * 2**20


class Space:
    """The pages that a database has no use for; used by the thread that writes only.

    Args:
        db: the connection that writes.
        path: the database's file.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._wal = wal_path(path)
        self._shrank = False

    def give_back(self, *, is_scarce: bool) -> bool:
        """Cut some freed pages off the file; what the log still holds goes with the last of them.

        Args:
            is_scarce: whether the disk is so full that pages kept for later are given back too.

        Returns:
            False once there are none to give.
        """
        (unused,) = self._db.execute("PRAGMA freelist_count").fetchone()
        spare = 0 if is_scarce else _SPARE_PAGES
        if unused > spare and self._can_shrink():
            # As a script: execute() stops at the first page, because the statement has no columns.
            self._db.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")
            if spare == 0:
                self._empty_log()  # which also takes from what is scarce
            self._shrank = True
            return True
        if self._shrank:
            self._empty_log()
            self._shrank = False
        return False

    def bound_log(self) -> None:
        """Empty the write-ahead log where it has grown beyond what readers explain."""
        try:
            log_bytes = self._wal.stat().st_size
        except FileNotFoundError:
            return
        if log_bytes > _MOST_LOG_BYTES:
            self._empty_log()

    def _can_shrink(self) -> bool:
        return bool(self._db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL)

    def _empty_log(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def let_shrink(db: sqlite3.Connection, path: Path) -> None:
    """Rewrite a file that was made without the means to give freed pages back, where it fits."""
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
