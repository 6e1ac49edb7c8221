"""Picture files, in folders and in .tar shards."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ugicm_training.errors import UnreadableShard

__all__ = ["SUFFIXES", "photo_members", "photo_names"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def photo_members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file bytes) of every picture under a folder and in its ``.tar`` shards.

    Raises:
        UnreadableShard: a shard is no tar file, or ends early.
    """
    for path in _files(source):
        if _is_picture(path.name):
            yield path.name, path.read_bytes()
        else:
            for shard, member in _shard_members(path):
                extracted = shard.extractfile(member)
                if extracted is not None:
                    yield PurePosixPath(member.name).name, extracted.read()


def photo_names(source: Path) -> Iterator[str]:
    """Yield the names that ``photo_members`` yields, without reading the pictures."""
    for path in _files(source):
        if _is_picture(path.name):
            yield path.name
        else:
            for _, member in _shard_members(path):
                yield PurePosixPath(member.name).name


def _files(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if path.is_file() and (_is_picture(path.name) or path.suffix == ".tar"):
            yield path


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _shard_members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        with tarfile.open(path) as shard:
            for member in shard:
                # Shards may hold more of a sample than its picture.
                if member.isfile() and _is_picture(member.name):
                    yield shard, member
    except (tarfile.TarError, EOFError) as error:
        raise UnreadableShard(f"{path} is no whole tar file: {error}") from error
