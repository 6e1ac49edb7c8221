"""Open the frame store's file; say in our words what goes wrong with it."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from pathlib import Path

from ugicm_decoder.errors import StoreDamaged, StoreError, StoreFailed
from ugicm_decoder.store.schema import SCHEMA
from ugicm_servicekit import sqlite

__all__ = ["open_writer", "typed"]


def open_writer(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Open the file for the one connection that writes and checkpoints; make or migrate it.

    Raises:
        DatabaseUnusable: the file is no frame store of ours, or another decoder has it: positions
            are announced within one process only.
        OSError, sqlite3.Error: it cannot be read or written.
    """
    lock = path.with_name(f"{path.name}-lock")
    taken = f"another decoder has the frame store {path} open"
    db = sqlite.open_writer(path, SCHEMA, opened, lock=lock, taken=taken)
    sqlite.let_shrink(db, path)  # a file from before version 2
    return db


def typed(error: sqlite3.Error) -> StoreError:
    """Return the error that callers are told of instead of ``error``."""
    if sqlite.is_damage(error):
        return StoreDamaged(f"the frame store is damaged: {error}")
    return StoreFailed(f"the frame store failed: {error}")
