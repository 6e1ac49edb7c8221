"""Keep the store within its limits between the commits, a bounded step at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ugicm_decoder.store.limits import StoreLimits
from ugicm_decoder.store.removals import (
    Budget,
    remove_frames,
    remove_old_gaps,
    select_beyond_age,
    select_beyond_bytes,
)
from ugicm_decoder.store.room import Room
from ugicm_servicekit.sqlite import Ages, Space, transaction

__all__ = ["Retention"]

# One step takes some 20 ms at the most, which is what a commit may have to wait for it. It removes
# more than one commit stores, and a spent one is followed by the next at once: retention keeps up.
_STEP_FRAMES = 512
_STEP_BYTES = 16 * 2**20


class Retention:
    """What goes, and the return of the space that it frees; used by the writer's thread only.

    Args:
        db: the connection that writes.
        space: of the same database.
        limits: what to keep to.
        room: tells when the disk is nearly full.
        ages: of what is stored.
        clock_ns: nanoseconds since 1970, as gaps are stamped with.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        space: Space,
        limits: StoreLimits,
        room: Room,
        ages: Ages,
        clock_ns: Callable[[], int],
    ) -> None:
        self._db = db
        self._space = space
        self._limits = limits
        self._room = room
        self._ages = ages
        self._clock_ns = clock_ns

    def do_part(self) -> bool:
        """Do the next part of what is due; return False once nothing more is."""
        self._space.bound_log()
        return self._remove() or self._space.give_back(is_scarce=self._room.is_scarce())

    def _remove(self) -> bool:
        budget = Budget(frames=_STEP_FRAMES, num_bytes=_STEP_BYTES)
        now_ns = self._clock_ns()
        self._ages.count_closed_time()
        with transaction(self._db, "IMMEDIATE"):
            if self._limits.retention_seconds is not None:
                last = self._ages.newest_older_than(self._limits.retention_seconds)
                remove_frames(self._db, select_beyond_age(self._db, last, budget), now_ns)
                remove_old_gaps(self._db, last, limit=_STEP_FRAMES)
            if self._limits.retention_camera_bytes is not None:
                most = self._limits.retention_camera_bytes
                remove_frames(self._db, select_beyond_bytes(self._db, most, budget), now_ns)
            self._ages.forget(limit=_STEP_FRAMES)
        return budget.is_spent
