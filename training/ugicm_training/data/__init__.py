"""Training pictures: where they are kept, and in what order they come."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import torch

from ugicm_training.data.folder import FolderPictures
from ugicm_training.data.members import SUFFIXES, photo_members, photo_names
from ugicm_training.data.memory import PicturesInMemory
from ugicm_training.data.order import Order
from ugicm_training.data.photos import PhotoSet, load_photos
from ugicm_training.data.shards import ShardPictures
from ugicm_training.data.source import Batch, PictureSource
from ugicm_training.errors import BadDataset

__all__ = [
    "Batch",
    "Order",
    "PhotoSet",
    "PictureSource",
    "PicturesInMemory",
    "Storage",
    "load_photos",
    "open_pictures",
    "photo_members",
    "photo_names",
]


class Storage(Enum):
    """Where decoded pictures come from at each step."""

    # Decoded once; cut on the GPU where they fit into its memory.
    MEMORY = "memory"
    # Decoded again and again: files of a folder, or WebDataset shards.
    DISK = "disk"


def open_pictures(
    source: Path,
    storage: Storage,
    *,
    minimum_side: int,
    held_out: int,
    device: torch.device,
    workers: int,
) -> PictureSource:
    """Open a folder of pictures or ``.tar`` shards, or one shard.

    Args:
        minimum_side: pixels; smaller pictures are left out.
        held_out: pictures at the end that are never trained on.
        workers: that decode, where pictures stay on disk.

    Raises:
        EmptyDataset: no picture is left to train on.
        BadDataset: pictures stay on disk, and lie both in shards and beside them.
        UnreadableShard: a shard is damaged.
    """
    if storage is Storage.MEMORY:
        photos = load_photos(source, minimum_side=minimum_side)
        return PicturesInMemory(photos, held_out=held_out, device=device)
    shards = sorted(source.rglob("*.tar")) if source.is_dir() else [source]
    if not shards:
        return FolderPictures(
            source, minimum_side=minimum_side, held_out=held_out, device=device, workers=workers
        )
    if source.is_dir() and _pictures(source):
        raise BadDataset(f"{source} holds shards and loose pictures: name one of the two")
    return ShardPictures(
        shards, minimum_side=minimum_side, held_out=held_out, device=device, workers=workers
    )


def _pictures(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
