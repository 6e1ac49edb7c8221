"""The mechanism under every SQLite file of a service: its owner, its version, and group commit."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ugicm_servicekit.errors import DatabaseUnusable
from ugicm_servicekit.sqlite import (
    Commit,
    GroupCommit,
    GroupLimits,
    Readers,
    Schema,
    open_reader,
    open_writer,
)

SCHEMA = Schema("note book", 0x6E6F7465, (("CREATE TABLE note (text TEXT NOT NULL)",),))


class Refused(Exception):
    """What callers are told of in place of an error of SQLite."""


class Closed(Exception):
    """What callers are told who come too late."""


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def write_to(path: Path, opened: ExitStack, schema: Schema = SCHEMA) -> sqlite3.Connection:
    lock = path.with_name("lock")
    return open_writer(path, schema, opened, lock=lock, taken="another has the note book")


def committing(db: sqlite3.Connection, **options: object) -> tuple[GroupCommit, list[Commit]]:
    commits: list[Commit] = []
    writes = GroupCommit(
        db,
        name="note-writer",
        failed=lambda error: Refused(str(error)),
        closed=Closed,
        committed=commits.append,
        **options,
    )
    return writes, commits


def note(text: str | None):
    def insert(db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO note VALUES (?)", (text,))
        return db.execute("SELECT count(*) FROM note").fetchone()[0]

    return insert


def texts(db: sqlite3.Connection) -> list[str]:
    return [text for (text,) in db.execute("SELECT text FROM note ORDER BY rowid")]


async def test_what_arrives_together_shares_one_commit(tmp_path, opened):
    writes, commits = committing(write_to(tmp_path / "notes", opened))
    results = await asyncio.gather(*(writes.run(note(str(n))) for n in range(20)))
    await writes.close()
    assert results == list(range(1, 21))
    assert sum(commit.num_writes for commit in commits) == 20
    assert sum(commit.num_changes for commit in commits) == 20
    assert len(commits) < 10


@pytest.mark.parametrize(
    "limits", [GroupLimits(max_bytes=1), GroupLimits(max_writes=1)], ids=["bytes", "writes"]
)
async def test_a_group_ends_when_its_writes_or_bytes_are_many(tmp_path, opened, limits):
    writes, commits = committing(write_to(tmp_path / "notes", opened), limits=limits)
    await asyncio.gather(*(writes.run(note(str(n)), num_bytes=1) for n in range(10)))
    await writes.close()
    assert [commit.num_writes for commit in commits] == [1] * 10


async def test_a_write_that_raises_takes_back_what_it_wrote_and_nothing_else(tmp_path, opened):
    writes, _ = committing(write_to(tmp_path / "notes", opened))

    def mistaken(db: sqlite3.Connection) -> None:
        note("half")(db)
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        writes.run(note("before")),
        writes.run(mistaken),
        writes.run(note("behind")),
        return_exceptions=True,
    )
    assert outcomes[::2] == [1, 2]
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert await writes.run(texts) == ["before", "behind"]
    await writes.close()


async def test_an_error_of_the_database_fails_its_whole_group(tmp_path, opened):
    writes, commits = committing(write_to(tmp_path / "notes", opened))
    await writes.run(note("kept"))
    outcomes = await asyncio.gather(
        *(writes.run(note(text)) for text in ("one", None, "two")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Refused] * 3
    assert "NOT NULL constraint failed" in str(outcomes[0])
    assert isinstance(outcomes[0].__cause__, sqlite3.IntegrityError)
    assert await writes.run(texts) == ["kept"]
    await writes.close()
    assert sum(commit.num_writes for commit in commits) == 2


async def test_later_callers_are_told_that_it_is_closed(tmp_path, opened):
    writes, _ = committing(write_to(tmp_path / "notes", opened))
    await writes.close()
    await writes.close()
    with pytest.raises(Closed):
        await writes.run(texts)


async def test_readers_see_what_is_committed_and_write_nothing(tmp_path, opened):
    path = tmp_path / "notes"
    writes, _ = committing(write_to(path, opened))
    readers = Readers(
        [open_reader(path, opened)], name="note-reader", failed=lambda error: Refused(str(error))
    )
    await writes.run(note("seen"))
    assert await readers.run(texts) == ["seen"]
    with pytest.raises(Refused, match="readonly"):
        await readers.run(note("mine"))
    assert await readers.run(texts) == ["seen"]
    await readers.close()
    await writes.close()


def test_a_database_is_one_process_s(tmp_path, opened):
    path = tmp_path / "notes"
    with ExitStack() as first:
        write_to(path, first)
        with pytest.raises(DatabaseUnusable, match="another has the note book"):
            write_to(path, opened)
        program = (
            "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'wb'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        )
        other = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "lock"], capture_output=True, check=False
        )
        assert b"BlockingIOError" in other.stderr
    write_to(path, opened)


def test_another_kind_of_database_is_refused_and_left_alone(tmp_path, opened):
    path = tmp_path / "notes"
    with ExitStack() as first:
        write_to(path, first)
    before = path.read_bytes()
    other = Schema("ledger", 0x6C656467, SCHEMA.migrations)
    with pytest.raises(DatabaseUnusable, match="not a ledger"):
        write_to(path, opened, other)
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_version_before(tmp_path, opened):
    path = tmp_path / "notes"
    broken = Schema(
        SCHEMA.name, SCHEMA.application_id, (*SCHEMA.migrations, ("DROP TABLE note", "nonsense"))
    )
    with pytest.raises(sqlite3.OperationalError), ExitStack() as first:
        write_to(path, first, broken)
    db = write_to(path, opened)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert texts(db) == []
    assert [
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ] == ["wal", 2]
