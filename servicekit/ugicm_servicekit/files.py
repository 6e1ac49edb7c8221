"""Notice that files have changed, without being told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

__all__ = ["Watched"]

_Mark: TypeAlias = tuple[int, int, int] | None


class Watched:
    """Files that are looked at again each time somebody asks, which costs microseconds.

    Looking beats notifications here: it works on network file systems, and for the symbolic links
    by which Kubernetes swaps the files of a secret.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._marks = self._look()

    def changed(self) -> bool:
        """Tell whether a file is another than at the last call."""
        before, self._marks = self._marks, self._look()
        return self._marks != before

    def _look(self) -> list[_Mark]:
        return [_mark(path) for path in self._paths]


def _mark(path: Path) -> _Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
