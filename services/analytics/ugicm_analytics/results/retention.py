"""What of the results goes, between commits and a bounded step at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from ugicm_analytics.results.interface import ResultLimits
from ugicm_servicekit.sqlite import Aged, Ages, Space, transaction

__all__ = ["AGED", "Retention"]

# Some 20 ms at the most, which is what a commit may have to wait for it.
_STEP_ROWS = 256

# When the rows of each table were stored.
_STORED = {"picture": "stored_ns", "missed": "recorded_ns"}

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
                    self._remove_old(table, ages.newest_older_than(seconds))
            if most is not None:
                self._remove_excess(most)
            for ages in self._ages.values():
                ages.forget(limit=_STEP_ROWS)
        return self._db.total_changes > before

    def _remove_old(self, table: str, last: int) -> None:
        """Remove the rows that were stored first, up to the last of them."""
        self._db.execute(
            f"DELETE FROM {table} WHERE id IN "
            f"(SELECT id FROM {table} ORDER BY id LIMIT {_STEP_ROWS}) AND id <= ?",
            (last,),
        )

    def _remove_excess(self, most: int) -> None:
        """Remove about as many rows as are too much, those that were stored first."""
        excess = self._used() - most
        if excess <= 0:
            return
        rows = excess * self._rows() // (most + excess) + 1
        for table, ids in self._first(min(rows, _STEP_ROWS)).items():
            self._db.executemany(f"DELETE FROM {table} WHERE id = ?", ids)

    def _rows(self) -> int:
        """Return how many rows there are: they go from the front, so their numbers tell it."""
        counts = (
            # Each looked up by itself: asked for together, the whole table would be read.
            f"SELECT coalesce((SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table}) + 1, 0)"
            for table in self._ages
        )
        return sum(int(self._db.execute(count).fetchone()[0]) for count in counts)

    def _first(self, count: int) -> dict[str, list[tuple[int]]]:
        """Return the numbers, by table, of so many rows that were stored first."""
        tables = " UNION ALL ".join(
            f"SELECT * FROM (SELECT '{table}' AS name, id, {stored} AS stored FROM {table} "
            f"ORDER BY id LIMIT {count})"
            for table, stored in _STORED.items()
        )
        first: dict[str, list[tuple[int]]] = {table: [] for table in _STORED}
        for table, row in self._db.execute(
            f"SELECT name, id FROM ({tables}) ORDER BY stored, id LIMIT {count}"
        ):
            first[table].append((row,))
        return first

    def _used(self) -> int:
        pages, unused, page_bytes = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - unused) * page_bytes
