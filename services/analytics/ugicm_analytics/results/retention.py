"""What of the results goes, between commits and a bounded step at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from ugicm_analytics.results.interface import ResultLimits
from ugicm_servicekit.sqlite import Aged, Ages, Space, transaction

__all__ = ["AGED", "Retention"]

# Some 20 ms at the most, which is what a commit may have to wait for it.
_STEP_ROWS = 256

# What goes, by its table; what refers to a removed picture goes with it.
AGED = {
    table: Aged(
        what=what,
        arrivals=f"{table}_arrival",
        newest=f"SELECT max(id) AS newest FROM {table}",
        oldest=f"SELECT min(id) FROM {table}",
    )
    for table, what in (("picture", "results"), ("missed", "records of missed frames"))
}


class Retention:
    """Removes what is too old or too much, in the order of storing; the writer's thread only.

    Args:
        db: the connection that writes.
        space: of the same database.
        limits: what to keep to.
        disk_free: the bytes that are free on the store's disk.
        ages: of the rows of each table that ``AGED`` names.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        space: Space,
        limits: ResultLimits,
        disk_free: Callable[[], int],
        ages: Mapping[str, Ages],
    ) -> None:
        self._db = db
        self._space = space
        self._limits = limits
        self._disk_free = disk_free
        self._ages = ages

    def do_part(self) -> bool:
        """Do the next part of what is due; return False once nothing more is."""
        self._space.bound_log()
        for ages in self._ages.values():
            ages.count_closed_time()
        is_scarce = self._disk_free() < 2 * self._limits.min_free_bytes
        return self._remove() or self._space.give_back(is_scarce=is_scarce)

    def _remove(self) -> bool:
        before = self._db.total_changes
        seconds, most = self._limits.retention_seconds, self._limits.max_bytes
        with transaction(self._db, "IMMEDIATE"):
            if seconds is not None:
                for table, ages in self._ages.items():
                    self._remove_first(table, ages.newest_older_than(seconds))
            if most is not None and self._used() > most:
                for table in self._ages:
                    self._remove_first(table, None)
            for ages in self._ages.values():
                ages.forget(limit=_STEP_ROWS)
        return self._db.total_changes > before

    def _remove_first(self, table: str, last: int | None) -> None:
        """Remove the rows that were stored first, up to the last of them if one is given."""
        self._db.execute(
            f"DELETE FROM {table} WHERE id IN "
            f"(SELECT id FROM {table} ORDER BY id LIMIT {_STEP_ROWS}) AND id <= coalesce(?, id)",
            (last,),
        )

    def _used(self) -> int:
        pages, unused, page_bytes = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - unused) * page_bytes
