"""Training pictures: decoded once, cropped by a pure function of seed and step."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ugicm_training.errors import EmptyDataset, UnreadableShard

__all__ = ["PhotoSet", "load_photos", "photo_members"]

_log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def photo_members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file bytes) of every picture under a folder and in its ``.tar`` shards.

    Raises:
        UnreadableShard: a shard is no tar file, or ends early.
    """
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if path.suffix.lower() in _SUFFIXES:
            yield path.name, path.read_bytes()
        elif path.suffix == ".tar":
            try:
                yield from _shard_members(path)
            except (tarfile.TarError, EOFError) as error:
                raise UnreadableShard(f"{path} is no whole tar file: {error}") from error


def _shard_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as shard:
        for member in shard:
            extracted = shard.extractfile(member) if member.isfile() else None
            if extracted is not None:
                yield Path(member.name).name, extracted.read()


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

    def crops(self, *, batch: int, side: int, seed: int, step: int) -> Tensor:
        """Return the batch of one step: ``(batch, 3, side, side)`` in [0, 1].

        The same seed and step give the same crops, so that a resumed run sees what it would
        have seen.
        """
        rng = np.random.default_rng((seed, step))
        out = np.empty((batch, side, side, 3), np.uint8)
        for slot in range(batch):
            picture = self.pictures[int(rng.integers(len(self.pictures)))]
            top = int(rng.integers(picture.shape[0] - side + 1))
            left = int(rng.integers(picture.shape[1] - side + 1))
            crop = picture[top : top + side, left : left + side]
            out[slot] = crop[:, ::-1] if rng.integers(2) else crop
        tensor = torch.from_numpy(out).permute(0, 3, 1, 2)
        return tensor.to(torch.float32).div_(255.0)


def load_photos(source: Path, *, minimum_side: int) -> PhotoSet:
    """Decode every picture under ``source`` whose sides reach ``minimum_side`` pixels.

    Unreadable and smaller pictures are skipped and counted in the log.

    Raises:
        EmptyDataset: no picture is left.
    """
    names: list[str] = []
    pictures: list[Picture] = []
    broken: list[str] = []
    small = 0
    for name, data in photo_members(source):
        try:
            picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
            broken.append(name)
            continue
        if min(picture.shape[:2]) < minimum_side:
            small += 1
            continue
        names.append(name)
        pictures.append(picture)
    if broken:
        _log.warning("skipped %d unreadable pictures, the first is %s", len(broken), broken[0])
    if small:
        _log.warning("skipped %d pictures smaller than %d pixels", small, minimum_side)
    if not pictures:
        raise EmptyDataset(f"no picture of at least {minimum_side} pixels under {source}")
    return PhotoSet(names, pictures)
