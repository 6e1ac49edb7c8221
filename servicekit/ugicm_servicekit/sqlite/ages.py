"""Tell how long ago rows were stored, whatever becomes of the clock on the wall."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from ugicm_servicekit.sqlite.connections import transaction

__all__ = ["Aged", "Ages"]

_log = logging.getLogger(__name__)

# A clock that is wrong when a machine starts has been put right by then.
_TRUST_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Aged:
    """What has ages: rows with positions that grow in the order of storing.

    Attributes:
        what: they are, for the log.
        arrivals: the table of what was noted. Its columns are ``second``, its key, which counts
            the time that the store was open; ``position``, the last one given by the end of that
            second; and ``clock_ns``, what the clock said then.
        newest: a query of the last position that was given, as ``newest``.
        oldest: a query of the first position whose row is there.
    """

    what: str
    arrivals: str
    newest: str
    oldest: str


class Ages:
    """Seconds that passed while the store was open; used by the writer's thread only.

    They run on from where they ended when the store was open before. What the clock on the wall
    says is asked for once, an hour after the opening: for how long the store was closed. So a
    clock that jumps makes nothing older, and one that is put back nothing younger.

    Args:
        db: the connection that writes.
        aged: what has the ages.
        clock_ns: nanoseconds since 1970.
        monotonic: seconds that pass, from any beginning.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        aged: Aged,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._db = db
        self._aged = aged
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._opened = monotonic()
        self._left_ns: int | None = None
        self._base = clock_ns() // 10**9
        last = db.execute(
            f"SELECT second, clock_ns FROM {aged.arrivals} ORDER BY second DESC LIMIT 1"
        ).fetchone()
        if last is not None:
            # A second of its own: what was stored before may still turn out to be older.
            self._base, self._left_ns = last[0] + 1, last[1]

    def note(self) -> None:
        """Remember, in a transaction that stored something, that it was now."""
        self._note(self._now())

    def newest_older_than(self, seconds: float) -> int:
        """Return the last position that was stored longer ago than so many seconds, or 0.

        An age is told at most a second short, and never too long.
        """
        row = self._db.execute(
            f"SELECT position FROM {self._aged.arrivals} WHERE second < ? "
            "ORDER BY second DESC LIMIT 1",
            (self._now() - seconds,),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def forget(self, *, limit: int) -> None:
        """Forget when rows were stored that are gone, in a transaction; the newest stays."""
        arrivals = self._aged.arrivals
        self._db.execute(
            f"DELETE FROM {arrivals} WHERE position < ({self._aged.oldest}) "
            f"AND second IN (SELECT second FROM {arrivals} ORDER BY second LIMIT ?) "
            f"AND second < (SELECT max(second) FROM {arrivals})",
            (limit,),
        )

    def count_closed_time(self) -> None:
        """Add for how long the store was closed, once that can be trusted.

        What was stored since then counts as stored now: it must not have aged meanwhile.
        """
        elapsed = self._monotonic() - self._opened
        if self._left_ns is None or elapsed < _TRUST_SECONDS:
            return
        closed = (self._clock_ns() - self._left_ns) // 10**9 - round(elapsed) - 1
        if closed > 0:
            with transaction(self._db, "IMMEDIATE"):
                self._db.execute(
                    f"DELETE FROM {self._aged.arrivals} WHERE second >= ?", (self._base,)
                )
                self._note(self._now() + closed)
            # Not before it is written down: what came since must never count as that old.
            self._base += closed
            _log.info(
                "the store was closed for %d s, by which %s are older", closed, self._aged.what
            )
        self._left_ns = None

    def _now(self) -> int:
        return self._base + int(self._monotonic() - self._opened)

    def _note(self, second: int) -> None:
        arrivals, newest = self._aged.arrivals, self._aged.newest
        self._db.execute(
            f"INSERT INTO {arrivals} (second, position, clock_ns) "
            f"SELECT ?, newest, ? FROM ({newest}) WHERE newest > "
            f"coalesce((SELECT position FROM {arrivals} ORDER BY second DESC LIMIT 1), 0) "
            "ON CONFLICT (second) DO UPDATE "
            "SET position = excluded.position, clock_ns = excluded.clock_ns",
            (second, self._clock_ns()),
        )
