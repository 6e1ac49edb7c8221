"""What retention removes, and the gaps that it leaves in the removed frames' places."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import starmap

from ugicm_decoder.store.interface import GapReason
from ugicm_decoder.store.rows import GAP

__all__ = [
    "Budget",
    "Doomed",
    "Run",
    "join_touching",
    "remove_frames",
    "remove_old_gaps",
    "select_beyond_age",
    "select_beyond_bytes",
]

_RETENTION = int(GapReason.RETENTION)
# Beyond, the gaps of an epoch are joined over the holes between them: a camera that leaves numbers
# out must not fill the disk with what is remembered of it.
_GAPS_OF_EPOCH = 64

_DOOMED = "position, camera, epoch, sequence, num_bytes"


@dataclass(frozen=True)
class Doomed:
    """A frame that is about to go; epoch and sequence as they are stored."""

    position: int
    camera: str
    epoch: int
    sequence: int
    num_bytes: int


@dataclass(frozen=True)
class Run:
    """Successive sequences of one epoch, and the position that tells of them."""

    first: int
    last: int
    position: int


class Budget:
    """What one step may still remove."""

    def __init__(self, *, frames: int, num_bytes: int) -> None:
        self._frames = frames
        self._num_bytes = num_bytes

    @property
    def is_spent(self) -> bool:
        """Whether there may be more to remove than this step does."""
        return self._frames <= 0 or self._num_bytes <= 0

    def spend(self, frame: Doomed) -> None:
        """Count a frame that is going to be removed."""
        self._frames -= 1
        self._num_bytes -= frame.num_bytes


def select_beyond_age(db: sqlite3.Connection, position: int, budget: Budget) -> list[Doomed]:
    """Return frames up to a position, the first first, as far as the budget goes."""
    chosen: list[Doomed] = []
    rows = db.execute(
        f"SELECT {_DOOMED} FROM frame WHERE position <= ? ORDER BY position", (position,)
    )
    with closing(rows):
        for frame in starmap(Doomed, rows):
            if budget.is_spent:
                break
            chosen.append(frame)
            budget.spend(frame)
    return chosen


def select_beyond_bytes(db: sqlite3.Connection, camera_bytes: int, budget: Budget) -> list[Doomed]:
    """Return what cameras have beyond their bytes, in the order of storing, within the budget."""
    chosen: list[Doomed] = []
    cameras = db.execute(
        "SELECT name, num_bytes - ? FROM camera WHERE num_bytes > ?", (camera_bytes, camera_bytes)
    ).fetchall()
    for camera, excess in cameras:
        rows = db.execute(
            f"SELECT {_DOOMED} FROM frame WHERE camera = ? ORDER BY position", (camera,)
        )
        with closing(rows):
            for frame in starmap(Doomed, rows):
                if excess <= 0 or budget.is_spent:
                    break
                chosen.append(frame)
                budget.spend(frame)
                excess -= frame.num_bytes
    return chosen


def remove_frames(db: sqlite3.Connection, frames: Sequence[Doomed], removed_ns: int) -> None:
    """Remove frames; gaps stand in their places, so that readers and repeats are told of them."""
    db.executemany("DELETE FROM frame WHERE position = ?", [(one.position,) for one in frames])
    epochs: dict[tuple[str, int], list[Doomed]] = defaultdict(list)
    for one in frames:
        epochs[one.camera, one.epoch].append(one)
    for (camera, epoch), gone in epochs.items():
        db.execute(
            "UPDATE camera SET num_frames = num_frames - ?, num_bytes = num_bytes - ? "
            "WHERE name = ?",
            (len(gone), sum(one.num_bytes for one in gone), camera),
        )
        _remember(db, camera, epoch, gone, removed_ns)


def remove_old_gaps(db: sqlite3.Connection, position: int, *, limit: int) -> None:
    """Remove records, up to a position, of frames that never came or are damaged.

    What was removed by retention is remembered for good: its frames may come again.
    """
    db.execute(
        "DELETE FROM gap WHERE position IN (SELECT position FROM gap "
        f"WHERE reason <> {_RETENTION} AND position <= ? LIMIT ?)",
        (position, limit),
    )


def _remember(
    db: sqlite3.Connection, camera: str, epoch: int, gone: Sequence[Doomed], removed_ns: int
) -> None:
    before = _remembered(db, camera, epoch)
    removed = {Run(one.sequence, one.sequence, one.position) for one in gone}
    after = set(_join_over_holes(db, camera, epoch, join_touching(before | removed)))
    db.executemany(
        "DELETE FROM gap WHERE position = ?", [(run.position,) for run in before - after]
    )
    db.executemany(
        f"INSERT INTO gap (position, {GAP}, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (run.position, camera, epoch, run.first, run.last, _RETENTION, removed_ns)
            for run in after - before
        ],
    )


def _remembered(db: sqlite3.Connection, camera: str, epoch: int) -> set[Run]:
    rows = db.execute(
        "SELECT first_sequence, last_sequence, position FROM gap "
        "WHERE camera = ? AND epoch = ? AND reason = ?",
        (camera, epoch, _RETENTION),
    )
    return {Run(*row) for row in rows}


def join_touching(runs: Iterable[Run]) -> list[Run]:
    """Return runs of one epoch by number, those joined that overlap or leave nothing between."""
    joined: list[Run] = []
    for run in sorted(runs, key=lambda run: run.first):
        if joined and run.first <= joined[-1].last + 1:
            joined[-1] = _join(joined[-1], run)
        else:
            joined.append(run)
    return joined


def _join_over_holes(
    db: sqlite3.Connection, camera: str, epoch: int, runs: Sequence[Run]
) -> list[Run]:
    excess = len(runs) - _GAPS_OF_EPOCH
    joined: list[Run] = []
    for run in runs:
        if joined and excess > 0 and _is_empty(db, camera, epoch, joined[-1], run):
            joined[-1] = _join(joined[-1], run)
            excess -= 1
        else:
            joined.append(run)
    return joined


def _is_empty(db: sqlite3.Connection, camera: str, epoch: int, below: Run, above: Run) -> bool:
    """Tell whether no frame is stored in the hole between two runs."""
    stored = db.execute(
        "SELECT 1 FROM frame WHERE camera = ? AND epoch = ? AND sequence > ? AND sequence < ? "
        "LIMIT 1",
        (camera, epoch, below.last, above.first),
    )
    return stored.fetchone() is None


def _join(below: Run, above: Run) -> Run:
    return Run(below.first, max(below.last, above.last), max(below.position, above.position))
