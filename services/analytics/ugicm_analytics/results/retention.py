"""What of the results goes, between commits and a bounded step at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ugicm_analytics.results.interface import ResultLimits
from ugicm_servicekit.sqlite import Space, transaction

__all__ = ["Retention"]

# Some 20 ms at the most, which is what a commit may have to wait for it.
_STEP_ROWS = 256


class Retention:
    """Removes what is too old or too much, in the order of storing; the writer's thread only.

    Args:
        db: the connection that writes; what refers to a removed picture goes with it.
        space: of the same database.
        limits: what to keep to.
        disk_free: the bytes that are free on the store's disk.
        clock_ns: nanoseconds since 1970, as results are stamped with.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        space: Space,
        limits: ResultLimits,
        disk_free: Callable[[], int],
        clock_ns: Callable[[], int],
    ) -> None:
        self._db = db
        self._space = space
        self._limits = limits
        self._disk_free = disk_free
        self._clock_ns = clock_ns

    def do_part(self) -> bool:
        """Do the next part of what is due; return False once nothing more is."""
        self._space.bound_log()
        is_scarce = self._disk_free() < 2 * self._limits.min_free_bytes
        return self._remove() or self._space.give_back(is_scarce=is_scarce)

    def _remove(self) -> bool:
        before = self._db.total_changes
        with transaction(self._db, "IMMEDIATE"):
            if self._limits.retention_seconds is not None:
                self._remove_before(self._clock_ns() - round(1e9 * self._limits.retention_seconds))
            if self._limits.max_bytes is not None and self._used() > self._limits.max_bytes:
                self._remove_before(None)
        return self._db.total_changes > before

    def _remove_before(self, moment_ns: int | None) -> None:
        """Remove the first that were stored, of those from before a moment if one is given."""
        for table, stored in (("picture", "stored_ns"), ("missed", "recorded_ns")):
            self._db.execute(
                f"DELETE FROM {table} WHERE id IN "
                f"(SELECT id FROM {table} ORDER BY id LIMIT {_STEP_ROWS}) "
                f"AND {stored} < coalesce(?, {stored} + 1)",
                (moment_ns,),
            )

    def _used(self) -> int:
        pages, unused, page_bytes = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - unused) * page_bytes
