"""The version of a database, and how older files become current ones."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ugicm_servicekit.errors import DatabaseUnusable

__all__ = ["Schema"]


@dataclass(frozen=True)
class Schema:
    """What tells a kind of database from every other, and its tables.

    Attributes:
        name: of the kind, such as "frame store", for messages.
        application_id: 32 bits in the file's header that no other kind has.
        migrations: number n takes a file from version n to n + 1; the first begins with an empty
            file. Append only: files of every release exist.
    """

    name: str
    application_id: int
    migrations: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """What ``migrate`` brings files to."""
        return len(self.migrations)

    def check(self, db: sqlite3.Connection) -> None:
        """Refuse a file that is not ours to change, and leave it as it is.

        Raises:
            DatabaseUnusable: the file holds something else, or comes from a newer version.
        """
        version = _pragma(db, "user_version")
        if version == 0:
            is_ours = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
        else:
            is_ours = _pragma(db, "application_id") == self.application_id
        if not is_ours:
            raise DatabaseUnusable(f"the file is an SQLite database, but not a {self.name}")
        if version > self.version:
            raise DatabaseUnusable(
                f"{self.name}s are known here up to version {self.version}, got {version}"
            )

    def migrate(self, db: sqlite3.Connection) -> None:
        """Bring a checked file to the current version, each step in a transaction of its own."""
        version = _pragma(db, "user_version")
        for step, statements in enumerate(self.migrations[version:], start=version):
            db.execute("BEGIN IMMEDIATE")
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {self.application_id}")
            db.execute(f"PRAGMA user_version = {step + 1}")
            db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])
