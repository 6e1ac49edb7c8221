"""Read files within bounds, and write them so that nobody ever sees half of one."""

from __future__ import annotations

import enum
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ugicm_client.errors import FileTooLarge, OutputExists

__all__ = [
    "MAX_FILE_BYTES",
    "Existing",
    "read_bounded",
    "refuse_existing",
    "write_atomically",
    "written_atomically",
]

MAX_FILE_BYTES = 1 << 30
"""The most that is read from one file: twice the largest uncompressed picture."""


class Existing(enum.Enum):
    """What to do with a file that is already where the output goes."""

    REFUSE = "refuse"
    REPLACE = "replace"


def read_bounded(source: Path | BinaryIO) -> bytes:
    """Return all bytes of a file, which may be a pipe or a device without end.

    Raises:
        FileTooLarge: there are more than ``MAX_FILE_BYTES``.
        OSError: the file cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return read_bounded(file)
    data = source.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise FileTooLarge(f"{source.name} has more than {MAX_FILE_BYTES} bytes")
    return data


def refuse_existing(path: Path) -> None:
    """Raise if a regular file or a folder is at ``path``; devices and pipes may be written to.

    Raises:
        OutputExists: something is there.
    """
    if path.exists() and not _is_stream_like(path):
        raise OutputExists(f"{path} exists; --force replaces it")


def write_atomically(path: Path, data: bytes, *, existing: Existing) -> None:
    """Write ``data`` as ``written_atomically`` does.

    Raises:
        OutputExists: ``path`` exists and ``existing`` says to refuse.
    """
    with written_atomically(path, existing=existing) as file:
        file.write(data)


@contextmanager
def written_atomically(path: Path, *, existing: Existing) -> Iterator[BinaryIO]:
    """Open a temporary name in the same folder, renamed to ``path`` if the block ends well.

    A symbolic link stays and its target is replaced. Devices and pipes are written to directly:
    renaming over ``/dev/null`` would replace the device.

    Raises:
        OutputExists: ``path`` exists and ``existing`` says to refuse.
    """
    if existing is Existing.REFUSE:
        refuse_existing(path)
    if path.exists() and _is_stream_like(path):
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    temporary = target.with_name(f".ugicm-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _is_stream_like(path: Path) -> bool:
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
