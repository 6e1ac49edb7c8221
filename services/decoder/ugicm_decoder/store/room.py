"""Whether there is room for what comes next, decided before anything is written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from ugicm_decoder.errors import StoreFull
from ugicm_decoder.store.limits import StoreLimits

__all__ = ["Room"]

# What a row takes beside its stream, at most: columns, indexes and the rest of its last page.
_ROW_BYTES = 4096


class Room:
    """The bytes that may still be stored; used by the writer's thread only.

    Once a frame was refused, what is new of its epoch is refused for ``limits.retry_seconds``: what
    a sender had under way behind that frame would otherwise be stored before it.

    Args:
        path: the database's file.
        limits: what to keep to.
        disk_free: the bytes that are free on the store's disk.
    """

    def __init__(self, path: Path, limits: StoreLimits, disk_free: Callable[[], int]) -> None:
        self._path = path
        self._limits = limits
        self._disk_free = disk_free
        self._left = 0
        self._reason = ""
        # Until when, by camera and epoch; what ends first comes first.
        self._refused: dict[tuple[str, int], float] = {}
        self._failure = ""
        self._failed_until = 0.0

    def measure(self, db: sqlite3.Connection) -> None:
        """Find out anew how much room there is."""
        pages, unused, page_bytes = (
            int(db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        free, kept = self._disk_free(), self._limits.min_free_bytes
        # What is stored is written twice: into the log at once, and into the file later. For what
        # the log has already, the file will grow by this much.
        growth = max(0, pages * page_bytes - self._path.stat().st_size)
        self._left = (free - growth - kept) // 2
        self._reason = (
            f"its disk has {free} bytes free, of which the log will take {growth} and {kept} stay"
        )
        most, used = self._limits.max_store_bytes, (pages - unused) * page_bytes
        if most is not None and most - used < self._left:
            self._left = most - used
            self._reason = f"it uses {used} bytes, and {most} are allowed"

    def take(self, num_bytes: int, *, camera: str, epoch: int) -> None:
        """Count what is about to be written of an epoch.

        Raises:
            StoreFull: there is no room for it, or was none a moment ago for what came before it.
        """
        now = time.monotonic()
        while self._refused and next(iter(self._refused.values())) <= now:
            del self._refused[next(iter(self._refused))]
        if now < self._failed_until:
            raise self._full(self._failure)
        if (camera, epoch) in self._refused:
            raise self._full(
                f"the frame store had no room for what came before of {camera}/{epoch}"
            )
        num_bytes += _ROW_BYTES
        if num_bytes > self._left:
            self._refused[camera, epoch] = now + self._limits.retry_seconds
            raise self._full(f"the frame store has no room for {num_bytes} bytes: {self._reason}")
        self._left -= num_bytes

    def check(self) -> None:
        """Return if a small row of a new epoch would find room.

        Raises:
            StoreFull: it would not.
        """
        if time.monotonic() < self._failed_until:
            raise self._full(self._failure)
        if self._left < _ROW_BYTES:
            raise self._full(f"the frame store has no room: {self._reason}")

    def refuse_all(self, failure: str) -> StoreFull:
        """Take nothing new of anyone for a while; return what senders are told."""
        self._failure = failure
        self._failed_until = time.monotonic() + self._limits.retry_seconds
        return self._full(failure)

    def is_scarce(self) -> bool:
        """Tell whether the disk is so full that pages kept for later frames are given back."""
        return self._disk_free() < 2 * self._limits.min_free_bytes

    def _full(self, message: str) -> StoreFull:
        return StoreFull(message, retry_after_seconds=self._limits.retry_seconds)
