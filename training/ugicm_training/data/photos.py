"""Sets of pictures that are decoded once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from ugicm_training.data.decoding import UNREADABLE, Picture, Skipped, decode_picture
from ugicm_training.data.members import photo_members
from ugicm_training.errors import BadDataset, EmptyDataset

__all__ = ["PhotoSet", "decode_photos", "digest_of", "load_photos"]

# Of the memory that can be had when a set is read, so that its copy for training fits as well.
_SHARE_OF_MEMORY = 0.4


@dataclass(frozen=True)
class PhotoSet:
    """Decoded pictures, uint8 ``(H, W, 3)`` each, with their names in the same order."""

    names: list[str]
    pictures: list[Picture]

    def split(self, held_out: int) -> tuple[PhotoSet, PhotoSet]:
        """Return (training, validation): the last ``held_out`` pictures are never trained on.

        Raises:
            EmptyDataset: nothing would be left to train on.
        """
        if len(self.names) <= held_out:
            raise EmptyDataset(f"{len(self.names)} pictures, of which {held_out} are held out")
        cut = len(self.names) - held_out
        return (
            PhotoSet(self.names[:cut], self.pictures[:cut]),
            PhotoSet(self.names[cut:], self.pictures[cut:]),
        )

    def first(self, count: int) -> PhotoSet:
        """Return the first pictures alone."""
        return PhotoSet(self.names[:count], self.pictures[:count])

    @property
    def digest(self) -> str:
        """Name the set: its pictures' names, sizes and order."""
        shapes = (picture.shape[:2] for picture in self.pictures)
        return digest_of(
            f"{name} {height}x{width}"
            for name, (height, width) in zip(self.names, shapes, strict=True)
        )


def digest_of(lines: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that name these lines."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode() + b"\n")
    return whole.hexdigest()[:16]


def load_photos(source: Path, *, minimum_side: int) -> PhotoSet:
    """Decode every picture under ``source`` whose sides reach ``minimum_side`` pixels.

    Unreadable and smaller pictures are skipped; the log counts them and names the first.

    Raises:
        EmptyDataset: no picture is left.
        BadDataset: the decoded pictures would not fit into memory.
        UnreadableShard: a shard is damaged.
    """
    skipped = Skipped(minimum_side)
    photos = decode_photos(photo_members(source), skipped)
    skipped.report()
    if not photos.pictures:
        raise EmptyDataset(f"no picture of at least {minimum_side} pixels under {source}")
    return photos


def decode_photos(members: Iterable[tuple[str, bytes]], skipped: Skipped) -> PhotoSet:
    """Decode picture files, given as (name, bytes); those that are skipped are added, none logged.

    Raises:
        BadDataset: the decoded pictures would not fit into memory.
    """
    names: list[str] = []
    pictures: list[Picture] = []
    limit, used = _SHARE_OF_MEMORY * psutil.virtual_memory().available, 0
    for name, data in members:
        try:
            picture = decode_picture(data)
        except UNREADABLE:
            skipped.add_unreadable(name)
            continue
        if min(picture.shape[:2]) < skipped.minimum_side:
            skipped.add_small(name)
            continue
        used += picture.nbytes
        if used > limit:
            raise BadDataset(
                f"more than {limit / 2**30:.1f} GiB of decoded pictures do not fit into memory: "
                "use --data disk"
            )
        names.append(name)
        pictures.append(picture)
    return PhotoSet(names, pictures)
