"""Write files that are whole, and there, whenever the machine stops."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["make_folder_durably", "write_durably"]


def write_durably(path: Path, data: bytes) -> None:
    """Return once the file holds ``data`` on the disk; until then it is what it was.

    Raises:
        OSError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def make_folder_durably(path: Path) -> None:
    """Return once the folder is there on the disk; missing parents are made.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        make_folder_durably(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
