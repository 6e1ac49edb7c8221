"""Remember on disk how far a watch has come, so that its next run goes on there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ugicm_client.errors import BadState
from ugicm_servicekit.durable import make_folder_durably, write_durably
from ugicm_servicekit.locking import held

__all__ = ["CursorFile"]


class CursorFile:
    """A file with the cursor of one watch, in the hands of one process; made by ``open``.

    Attributes:
        cursor: behind what was done with; None where the watch never began.
    """

    def __init__(self, path: Path, cursor: bytes | None) -> None:
        self.cursor = cursor
        self._path = path

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[CursorFile]:
        """Open the file of a watch; it need not be there.

        Raises:
            BadState: it holds no cursor, or another process has it.
            OSError: it cannot be read.
        """
        path = path.resolve()
        make_folder_durably(path.parent)
        # A file of its own: the cursor's is replaced, and a lock would stay with the replaced one.
        lock = path.with_name(f".{path.name}.lock")
        with held(lock, taken=BadState(f"another process watches with {path}")):
            yield cls(path, _read(path))

    def write(self, cursor: bytes) -> None:
        """Return once the file has the cursor.

        Raises:
            OSError: it cannot be written.
        """
        write_durably(self._path, base64.b64encode(cursor) + b"\n")
        self.cursor = cursor


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        cursor = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        cursor = b""
    if not cursor:
        raise BadState(f"{path} holds no cursor of a watch; without it a new one begins")
    return cursor
