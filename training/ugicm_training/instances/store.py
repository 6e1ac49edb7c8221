"""The file that keeps the masks of a set of pictures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ugicm_training.errors import BadMasks
from ugicm_training.instances.rle import PictureMasks

__all__ = ["MaskStore"]

# "UGMK" in the header of the SQLite file, so that no other database is taken for one of masks.
_APPLICATION_ID = 0x55474D4B
_SCHEMA = """
CREATE TABLE segmenter (description TEXT NOT NULL);
CREATE TABLE pictures (
    name TEXT PRIMARY KEY, height INTEGER NOT NULL, width INTEGER NOT NULL, counts BLOB NOT NULL
);
"""


class MaskStore:
    """One SQLite file: a row for each picture, by the name it has in its folder or shard.

    Why not COCO's JSON: that has to be parsed whole before the first mask is had (minutes and
    gigabytes for a set like COCO), and appending to it means writing it anew. Here a picture is
    read in microseconds, in any order, by any number of loading processes, and pictures added in
    one transaction are there or not, whatever kills the writer. The masks themselves are COCO's
    compressed run lengths, one a line.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> MaskStore:
        """Open a file for reading.

        Raises:
            BadMasks: it is missing, or no file of masks.
        """
        if not path.is_file():
            raise BadMasks(f"{path} is no file; `ugicm-train masks` writes one")
        # Not read-only: what a killed writer left half-done has to be undone.
        with _connected(path, "rw") as store:
            return store

    @classmethod
    def create(cls, path: Path, segmenter: str) -> MaskStore:
        """Open a file for adding pictures, a new one or one that this segmenter began.

        Raises:
            BadMasks: it is another kind of file, or holds another segmenter's masks.
            OSError: its folder is missing.
        """
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent}")
        with _connected(path, "rwc") as store:
            found = store.segmenter
            if found is None:
                with store._connection:
                    store._connection.execute("INSERT INTO segmenter VALUES (?)", (segmenter,))
            elif found != segmenter:
                raise BadMasks(f"{path} holds masks of {found}, not of {segmenter}")
            return store

    @property
    def segmenter(self) -> str | None:
        """Return the description of the segmenter that made the masks."""
        with _explained(self.path):
            row = self._connection.execute("SELECT description FROM segmenter").fetchone()
        return row[0] if row else None

    def __len__(self) -> int:
        with _explained(self.path):
            return int(self._connection.execute("SELECT count(*) FROM pictures").fetchone()[0])

    def names(self) -> frozenset[str]:
        """Return the names of all pictures."""
        with _explained(self.path):
            rows = self._connection.execute("SELECT name FROM pictures").fetchall()
        return frozenset(row[0] for row in rows)

    def find(self, name: str) -> PictureMasks | None:
        """Return a picture's masks, None where the file does not know the picture."""
        with _explained(self.path):
            row = self._connection.execute(
                "SELECT height, width, counts FROM pictures WHERE name = ?", (name,)
            ).fetchone()
        if row is None:
            return None
        height, width, counts = row
        return PictureMasks(height, width, tuple(counts.split()))

    def add(self, pictures: Iterable[tuple[str, PictureMasks]]) -> None:
        """Add pictures, all of them or, where that fails, none."""
        rows = (
            (name, masks.height, masks.width, b"\n".join(masks.counts)) for name, masks in pictures
        )
        with _explained(self.path), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", rows
            )

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> MaskStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[MaskStore]:
    """Open a file, and close it again where that or the block fails."""
    with _explained(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            check_same_thread=False,  # a thread may prepare the next batch
        )
        try:
            if mode == "rwc" and not path.stat().st_size:
                connection.executescript(
                    f"BEGIN; PRAGMA application_id = {_APPLICATION_ID}; {_SCHEMA} COMMIT;"
                )
            (found,) = connection.execute("PRAGMA application_id").fetchone()
            if found != _APPLICATION_ID:
                raise BadMasks(f"{path} is no file of masks")
            yield MaskStore(path, connection)
        except BaseException:
            connection.close()
            raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors (no database, disk full, locked) into one that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise BadMasks(f"{path}: {error}") from error
