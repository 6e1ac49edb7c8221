"""What retention removes, and the gaps that it leaves in the removed frames' places."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ugicm_decoder.store.interface import GapReason
from ugicm_decoder.store.rows import GAP

__all__ = ["Doomed", "remove_frames", "remove_old_gaps", "select_beyond_age", "select_beyond_bytes"]

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
class _Run:
    """Successive sequences of one epoch, and the position that tells of them."""

    first: int
    last: int
    position: int


def select_beyond_age(
    db: sqlite3.Connection, stored_before_ns: int, *, limit: int, num_bytes: int
) -> list[Doomed]:
    """Return frames stored before a moment, the oldest first, bounded in number and bytes."""
    rows = db.execute(
        f"SELECT {_DOOMED} FROM frame WHERE stored_ns < ? ORDER BY stored_ns, position LIMIT ?",
        (stored_before_ns, limit),
    )
    return _up_to(num_bytes, rows)


def select_beyond_bytes(
    db: sqlite3.Connection, camera_bytes: int, *, limit: int, num_bytes: int
) -> list[Doomed]:
    """Return the oldest frames of a camera that has more bytes than it may, bounded likewise."""
    over = db.execute(
        "SELECT name, num_bytes - ? FROM camera WHERE num_bytes > ? LIMIT 1",
        (camera_bytes, camera_bytes),
    ).fetchone()
    if over is None:
        return []
    camera, excess = over
    rows = db.execute(
        f"SELECT {_DOOMED} FROM frame WHERE camera = ? ORDER BY epoch, sequence LIMIT ?",
        (camera, limit),
    )
    return _up_to(min(excess, num_bytes), rows)


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
        for run in _runs(gone):
            _widen(db, camera, epoch, run, removed_ns)
        _join_over_holes(db, camera, epoch, removed_ns)


def remove_old_gaps(db: sqlite3.Connection, recorded_before_ns: int, *, limit: int) -> int:
    """Remove records of frames that never came or are damaged; return how many.

    What was removed by retention is remembered for good: its frames may come again.
    """
    return db.execute(
        "DELETE FROM gap WHERE position IN (SELECT position FROM gap "
        f"WHERE reason <> {_RETENTION} AND recorded_ns < ? LIMIT ?)",
        (recorded_before_ns, limit),
    ).rowcount


def _up_to(num_bytes: int, rows: Iterable[Sequence[Any]]) -> list[Doomed]:
    chosen: list[Doomed] = []
    for row in rows:
        if num_bytes <= 0:
            break
        chosen.append(Doomed(*row))
        num_bytes -= chosen[-1].num_bytes
    return chosen


def _runs(frames: Iterable[Doomed]) -> Iterator[_Run]:
    run: _Run | None = None
    for one in sorted(frames, key=lambda frame: frame.sequence):
        if run is not None and one.sequence == run.last + 1:
            run = _Run(run.first, one.sequence, max(run.position, one.position))
            continue
        if run is not None:
            yield run
        run = _Run(one.sequence, one.sequence, one.position)
    if run is not None:
        yield run


def _widen(db: sqlite3.Connection, camera: str, epoch: int, run: _Run, removed_ns: int) -> None:
    """Record a run, as one with the gaps that it touches."""
    gaps = _removed(db, camera, epoch)
    touched = [gap for gap in gaps if gap.first - 1 <= run.last and run.first - 1 <= gap.last]
    _replace(db, camera, epoch, touched, _joined([*touched, run]), removed_ns)


def _join_over_holes(db: sqlite3.Connection, camera: str, epoch: int, removed_ns: int) -> None:
    gaps = _removed(db, camera, epoch)
    if len(gaps) <= _GAPS_OF_EPOCH:
        return
    for pair in pairwise(gaps):
        between = (camera, epoch, pair[0].last, pair[1].first)
        stored = db.execute(
            "SELECT 1 FROM frame WHERE camera = ? AND epoch = ? "
            "AND sequence > ? AND sequence < ? LIMIT 1",
            between,
        ).fetchone()
        if stored is None:
            _replace(db, camera, epoch, pair, _joined(pair), removed_ns)
            return


def _removed(db: sqlite3.Connection, camera: str, epoch: int) -> list[_Run]:
    rows = db.execute(
        "SELECT first_sequence, last_sequence, position FROM gap "
        "WHERE camera = ? AND epoch = ? AND reason = ? ORDER BY first_sequence",
        (camera, epoch, _RETENTION),
    )
    return [_Run(*row) for row in rows]


def _joined(runs: Sequence[_Run]) -> _Run:
    return _Run(
        min(run.first for run in runs),
        max(run.last for run in runs),
        max(run.position for run in runs),
    )


def _replace(
    db: sqlite3.Connection,
    camera: str,
    epoch: int,
    runs: Sequence[_Run],
    by: _Run,
    removed_ns: int,
) -> None:
    db.executemany("DELETE FROM gap WHERE position = ?", [(run.position,) for run in runs])
    db.execute(
        f"INSERT INTO gap (position, {GAP}, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (by.position, camera, epoch, by.first, by.last, _RETENTION, removed_ns),
    )
