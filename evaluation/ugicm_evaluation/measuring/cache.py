"""What was measured already, on disk, so that a killed run goes on where it was.

An entry is a file of arrays named by a hash of everything that decides them; the coded picture's
own file lies beside it. Entries are written whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugicm_training.files import write_file

__all__ = ["Arrays", "Cache"]

Arrays = Mapping[str, NDArray[Any]]


class Cache:
    """A folder of entries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, *decisive: object, suffix: str) -> Path:
        """Return where an entry lies that is decided by these values, which JSON can hold."""
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest}{suffix}"

    def write(self, path: Path, data: bytes) -> None:
        """Write a file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)

    def save(self, path: Path, arrays: Arrays) -> None:
        """Write an entry, whole or not at all."""
        entry = io.BytesIO()
        np.savez_compressed(entry, **arrays)
        self.write(path, entry.getvalue())

    @staticmethod
    def load(path: Path, *names: str) -> dict[str, NDArray[Any]] | None:
        """Return an entry's arrays of these names; None where there is no whole entry."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
                return {name: entry[name] for name in names}
        except (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
            return None
