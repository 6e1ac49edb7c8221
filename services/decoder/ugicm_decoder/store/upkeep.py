"""Keep the store within its limits between the commits, a bounded step at a time."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from ugicm_decoder.store.connections import transaction, wal_path
from ugicm_decoder.store.limits import StoreLimits
from ugicm_decoder.store.removals import (
    Budget,
    remove_frames,
    remove_old_gaps,
    select_beyond_age,
    select_beyond_bytes,
)
from ugicm_decoder.store.room import Room

__all__ = ["Upkeep"]

_log = logging.getLogger(__name__)

# How often it is looked whether something is due.
_SECONDS = 0.1
# One step takes some 20 ms at the most, which is what a commit may have to wait for it. It removes
# more than one commit stores, and a spent one is followed by the next at once: retention keeps up.
_STEP_FRAMES = 512
_STEP_BYTES = 16 * 2**20
_STEP_PAGES = 256
# Free pages that are kept for the next frames: giving them back moves others.
_SPARE_PAGES = 4096
# The write-ahead log is this large only while readers hold up its copying.
_MOST_LOG_BYTES = 64 * 2**20


class Upkeep:
    """Retention, and the return of space that it frees; used by the writer's thread only.

    Args:
        db: the connection that writes.
        path: the database's file.
        limits: what to keep to.
        room: tells when the disk is nearly full.
        clock_ns: nanoseconds since 1970, as frames are stamped with.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        limits: StoreLimits,
        room: Room,
        clock_ns: Callable[[], int],
    ) -> None:
        self._db = db
        self._wal = wal_path(path)
        self._limits = limits
        self._room = room
        self._clock_ns = clock_ns
        self._next_look = 0.0
        self._shrank = False
        self._fails = False

    def seconds_to_next(self) -> float:
        """Return how long nothing is due; 0 where the next step is."""
        return max(0.0, self._next_look - time.monotonic())

    def step(self) -> None:
        """Do the next part of what is due, if it is time to look whether anything is."""
        if self.seconds_to_next():
            return
        try:
            more = self.do_part()
            self._fails = False
        except Exception:  # noqa: BLE001 - a part of the outermost layer of a thread
            if not self._fails:
                _log.exception("the frame store's upkeep failed; it is tried again and again")
            self._fails = True
            more = False
        self._next_look = 0.0 if more else time.monotonic() + _SECONDS

    def do_part(self) -> bool:
        """Do the next part of what is due; return False once nothing more is."""
        self._bound_log()
        return self._remove() or self._give_back()

    def _remove(self) -> bool:
        budget = Budget(frames=_STEP_FRAMES, num_bytes=_STEP_BYTES)
        now_ns = self._clock_ns()
        with transaction(self._db, "IMMEDIATE"):
            if self._limits.retention_seconds is not None:
                before_ns = now_ns - round(1e9 * self._limits.retention_seconds)
                remove_frames(self._db, select_beyond_age(self._db, before_ns, budget), now_ns)
                remove_old_gaps(self._db, before_ns, limit=_STEP_FRAMES)
            if self._limits.retention_camera_bytes is not None:
                most = self._limits.retention_camera_bytes
                remove_frames(self._db, select_beyond_bytes(self._db, most, budget), now_ns)
        return budget.is_spent

    def _give_back(self) -> bool:
        """Cut freed pages off the file; what the log still holds goes with the last of them."""
        (unused,) = self._db.execute("PRAGMA freelist_count").fetchone()
        spare = 0 if self._room.is_scarce() else _SPARE_PAGES
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

    def _can_shrink(self) -> bool:
        incremental = 2
        return bool(self._db.execute("PRAGMA auto_vacuum").fetchone()[0] == incremental)

    def _bound_log(self) -> None:
        try:
            log_bytes = self._wal.stat().st_size
        except FileNotFoundError:
            return
        if log_bytes > _MOST_LOG_BYTES:
            self._empty_log()

    def _empty_log(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
