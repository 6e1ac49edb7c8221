"""What runs for every frame or reader looks up what it needs, however much the store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from sqlite3 import Connection

import pytest

from tests.decoder.store_frames import NOW_NS, frame
from ugicm_decoder.store import FrameQuery, Gap, GapReason, StoreLimits, inserts, queries
from ugicm_decoder.store.ages import FRAMES
from ugicm_decoder.store.connections import open_writer
from ugicm_decoder.store.removals import (
    Budget,
    remove_old_gaps,
    select_beyond_age,
    select_beyond_bytes,
)
from ugicm_decoder.store.room import Room
from ugicm_servicekit.sqlite import Ages

KEY = frame().key
GAP = Gap("gate", 1, 5, 6, GapReason.SPOOL_FULL)
ALL = Budget(frames=10, num_bytes=10)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    with ExitStack() as opened:
        yield open_writer(tmp_path / "frames.sqlite", opened)


def roomy(db: Connection) -> Room:
    path = Path(db.execute("PRAGMA database_list").fetchone()[2])
    room = Room(path, StoreLimits(), lambda: 10**12)
    room.measure(db)
    return room


def ages(db: Connection) -> Ages:
    return Ages(db, FRAMES, lambda: NOW_NS, lambda: 0.0)


def plans(db: Connection, work: Callable[[Connection], object]) -> list[str]:
    """Return how SQLite goes about each statement of ``work``."""
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    work(db)
    db.set_trace_callback(None)
    statements = [text for text in statements if not text.startswith("PRAGMA")]
    assert statements
    steps = []
    for statement in statements:
        steps += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
    return steps


@pytest.mark.parametrize(
    "work",
    [
        lambda db: inserts.insert_frame(db, frame(sequence=1), NOW_NS, roomy(db)),
        lambda db: inserts.insert_gap(db, GAP, NOW_NS, roomy(db)),
        lambda db: queries.select_frame(db, KEY),
        lambda db: queries.select_frames(db, FrameQuery("gate"), KEY, 100),
        lambda db: queries.select_frames(db, FrameQuery("gate", newest_first=True), None, 100),
        lambda db: queries.select_frames(db, FrameQuery("gate", 1, 5, 9), KEY, 100),
        lambda db: queries.select_events(db, 1, [], 100),
        lambda db: queries.select_events(db, 1, ["gate"], 100),
        lambda db: queries.select_newest_frames(db, 1, ["gate"]),
        lambda db: queries.select_cameras(db, "", 100),
        lambda db: select_beyond_age(db, 1, ALL),
        lambda db: select_beyond_bytes(db, 1, ALL),
        lambda db: remove_old_gaps(db, 1, limit=10),
        lambda db: ages(db).newest_older_than(1),
        lambda db: ages(db).note(),
        lambda db: ages(db).forget(limit=10),
    ],
)
def test_no_statement_reads_or_sorts_all_frames(
    db: Connection, work: Callable[[Connection], object]
) -> None:
    inserts.insert_frame(db, frame(), NOW_NS, roomy(db))
    for step in plans(db, work):
        assert not step.startswith(("SCAN frame", "SCAN gap")), step
        # Of gaps that begin at one number, there are few.
        assert "B-TREE" not in step or "RIGHT PART" in step, step
