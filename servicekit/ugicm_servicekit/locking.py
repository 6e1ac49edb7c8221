"""Keep a file to one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held"]


@contextmanager
def held(lock: Path, *, taken: Exception) -> Iterator[None]:
    """Hold a lock that goes with the process, however that ends.

    Args:
        lock: a file of its own, which stays behind, empty. What it protects may be replaced, and
            SQLite's locks on a database go with any descriptor of it that is closed.
        taken: raised where another process, or another caller in this one, holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken from error
        yield
