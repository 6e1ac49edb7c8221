"""Picture files of a folder that is too large to be kept in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ugicm_training.data.crops import Crops, Loaded, cut, loaded, together
from ugicm_training.data.decoding import UNREADABLE, Skipped, decode_picture
from ugicm_training.data.members import SUFFIXES
from ugicm_training.data.memory import CALIBRATION_PICTURES
from ugicm_training.data.order import Order
from ugicm_training.data.photos import PhotoSet, decode_photos, digest_of
from ugicm_training.data.source import Batch
from ugicm_training.errors import EmptyDataset

__all__ = ["FolderPictures"]

# Files whose headers are read at once when the folder is listed.
_READERS = 8

# Pictures that are tried in the place of one whose header is whole and whose pixels are not.
_ATTEMPTS = 16


class FolderPictures:
    """Files that are decoded anew in each epoch, by other processes.

    Every header is read first, so that the set and its order are known.

    Args:
        workers: processes that decode; 0 decodes in this one.

    Raises:
        EmptyDataset: no picture of at least ``minimum_side`` pixels would be left to train on.
    """

    def __init__(
        self, folder: Path, *, minimum_side: int, held_out: int, device: torch.device, workers: int
    ) -> None:
        self._skipped = Skipped(minimum_side)
        paths, sizes = _usable(folder, self._skipped)
        if len(paths) <= held_out:
            raise EmptyDataset(
                f"{len(paths)} pictures of at least {minimum_side} pixels under {folder}, "
                f"of which {held_out} are held out"
            )
        self.count = len(paths) - held_out
        self.digest = digest_of(
            f"{path.name} {height}x{width}"
            for path, (height, width) in zip(paths, sizes, strict=True)
        )
        self._paths = paths[: self.count]
        self.held_out = _decoded(paths[self.count :], self._skipped)
        self.calibration = _decoded(self._paths[:CALIBRATION_PICTURES], self._skipped)
        self._skipped.report()
        self._device = device
        self._workers = workers

    def batches(self, order: Order, first: int) -> Iterator[Batch]:
        loader: DataLoader[Loaded] = DataLoader(
            _Steps(self._paths, order),
            sampler=itertools.count(first),
            batch_size=None,
            num_workers=self._workers,
            multiprocessing_context="forkserver" if self._workers else None,
            pin_memory=self._device.type == "cuda",
        )
        return loaded(loader, self._device, self._skipped)


@dataclass(frozen=True)
class _Steps(Dataset[Loaded]):
    """The crops of each step, whose index is the step's number."""

    paths: list[Path]
    order: Order

    def __getitem__(self, step: int) -> Loaded:
        try:
            return self._crops(step)
        except EmptyDataset as error:
            return error

    def _crops(self, step: int) -> Crops:
        count = len(self.paths)
        unreadable: list[str] = []
        crops = []
        placements = self.order.placements(step)
        for slot, index in enumerate(self.order.pictures(step, count)):
            picture, path = None, self.paths[index]
            for attempt in range(_ATTEMPTS):
                try:
                    picture = decode_picture(path.read_bytes())
                    break
                except UNREADABLE:
                    unreadable.append(path.name)
                    path = self.paths[self.order.replacement(step, slot, attempt, count)]
            if picture is None:
                raise EmptyDataset(
                    f"{_ATTEMPTS} pictures in a row cannot be read, the last is {unreadable[-1]}"
                )
            crops.append(cut(picture, path.name, placements[slot], self.order.side))
        return together(crops, unreadable=unreadable, small=())


def _usable(folder: Path, skipped: Skipped) -> tuple[list[Path], list[tuple[int, int]]]:
    paths, sizes = [], []
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    with ThreadPoolExecutor(_READERS) as readers:
        for path, size in zip(files, readers.map(_size, files), strict=True):
            if size is None:
                skipped.add_unreadable(path.name)
            elif min(size) < skipped.minimum_side:
                skipped.add_small(path.name)
            else:
                paths.append(path)
                sizes.append(size)
    return paths, sizes


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except UNREADABLE:
        return None


def _decoded(paths: list[Path], skipped: Skipped) -> PhotoSet:
    return decode_photos(((path.name, path.read_bytes()) for path in paths), skipped)
