"""WebDataset shards: large sets, read from the disk one shard after the other."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch.utils.data import DataLoader, IterableDataset
from webdataset.tariterators import tar_file_iterator

from ugicm_training.data.crops import Crop, Crops, Loaded, cut, loaded, together
from ugicm_training.data.decoding import UNREADABLE, Picture, Skipped, decode_picture
from ugicm_training.data.members import SUFFIXES
from ugicm_training.data.memory import CALIBRATION_PICTURES
from ugicm_training.data.order import Order
from ugicm_training.data.photos import decode_photos, digest_of
from ugicm_training.data.source import Batch
from ugicm_training.errors import EmptyDataset, UnreadableShard
from ugicm_training.randomness import Draw, generator_at

__all__ = ["ShardPictures"]

Member = tuple[str, bytes]


class ShardPictures:
    """Pictures of ``.tar`` shards, in another order of shards and members in each epoch.

    A shard's files are held in memory, as they are, while its turn lasts; so a resumed run reads
    one shard again, and no more. Shards are counted first, from their tables of contents.

    Args:
        workers: threads that decode, in a process of their own; 0 decodes in this one.

    Raises:
        EmptyDataset: no picture would be left to train on.
        UnreadableShard: a shard is damaged.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        *,
        minimum_side: int,
        held_out: int,
        device: torch.device,
        workers: int,
    ) -> None:
        self._skipped = Skipped(minimum_side)
        names = [_picture_names(shard) for shard in shards]
        total = sum(map(len, names))
        if total <= held_out:
            raise EmptyDataset(f"{total} pictures in shards, of which {held_out} are held out")
        self.count = total - held_out
        self.digest = digest_of(itertools.chain.from_iterable(names))
        # Held out are the last pictures of all, which may be those of several shards.
        left = self.count
        used: list[_Shard] = []
        spare: list[Member] = []
        for shard, members in zip(shards, names, strict=True):
            kept = min(left, len(members))
            left -= kept
            if kept:
                used.append(_Shard(shard, kept))
            if kept < len(members):
                spare += _members(shard)[kept:]
        self._shards = tuple(used)
        self.held_out = decode_photos(spare, self._skipped)
        some = itertools.chain.from_iterable(
            itertools.islice(_members(shard.path), shard.count) for shard in self._shards
        )
        self.calibration = decode_photos(
            itertools.islice(some, CALIBRATION_PICTURES), self._skipped
        )
        self._skipped.report()
        self._device = device
        self._workers = workers

    def batches(self, order: Order, first: int) -> Iterator[Batch]:
        steps = _Steps(
            self._shards, order, first, self._skipped.minimum_side, max(1, self._workers)
        )
        loader: DataLoader[Loaded] = DataLoader(
            steps,
            batch_size=None,
            num_workers=min(1, self._workers),
            multiprocessing_context="forkserver" if self._workers else None,
            pin_memory=self._device.type == "cuda",
        )
        return loaded(loader, self._device, self._skipped)


@dataclass(frozen=True)
class _Shard:
    path: Path
    count: int


@dataclass(frozen=True)
class _Steps(IterableDataset[Loaded]):
    """The crops of each step from ``first`` on, without end."""

    shards: tuple[_Shard, ...]
    order: Order
    first: int
    minimum_side: int
    threads: int

    def __iter__(self) -> Iterator[Loaded]:
        try:
            yield from self._all()
        except (EmptyDataset, UnreadableShard, OSError) as error:
            yield error

    def _all(self) -> Iterator[Crops]:
        order = self.order
        members = self._members_from(self.first * order.batch)
        with ThreadPoolExecutor(self.threads) as decoders:
            for step in itertools.count(self.first):
                whole = list(itertools.islice(members, order.batch))
                mine = whole[order.rank :: order.world]
                yield self._step(step, mine, list(decoders.map(_decoded, mine)))

    def _step(
        self, step: int, members: Sequence[Member], pictures: Sequence[Picture | None]
    ) -> Crops:
        placements, side = self.order.placements(step), self.order.side
        unreadable, small = [], []
        usable: list[tuple[str, Picture]] = []
        for (name, _), picture in zip(members, pictures, strict=True):
            if picture is None:
                unreadable.append(name)
            elif min(picture.shape[:2]) < self.minimum_side:
                small.append(name)
            else:
                usable.append((name, picture))
        if not usable:
            raise EmptyDataset(
                f"none of a batch of {len(members)} pictures is usable: {members[0][0]}"
            )
        # In the place of pictures that cannot be used, others of the batch are cropped once more.
        crops: list[Crop] = [
            cut(picture, name, placement, side)
            for (name, picture), placement in zip(itertools.cycle(usable), placements, strict=False)
        ]
        return together(crops, unreadable=unreadable, small=small)

    def _members_from(self, sample: int) -> Iterator[Member]:
        count = sum(shard.count for shard in self.shards)
        epoch, skip = divmod(sample, count)
        for number in itertools.count(epoch):
            place = (self.order.stage, number)
            shuffled = generator_at(self.order.seed, Draw.ORDER, *place).permutation(
                len(self.shards)
            )
            for index in shuffled:
                shard = self.shards[index]
                if skip >= shard.count:
                    skip -= shard.count
                    continue
                members = _members(shard.path)
                if len(members) < shard.count:
                    raise UnreadableShard(
                        f"{shard.path} had {shard.count} pictures and has {len(members)}"
                    )
                inside = generator_at(self.order.seed, Draw.ORDER, *place, 1 + int(index))
                for member in inside.permutation(shard.count)[skip:]:
                    yield members[member]
                skip = 0


def _decoded(member: Member) -> Picture | None:
    try:
        return decode_picture(member[1])
    except UNREADABLE:
        return None


def _picture_names(shard: Path) -> list[str]:
    try:
        with tarfile.open(shard) as file:
            names = [member.name for member in file if member.isfile()]
    except (tarfile.TarError, EOFError) as error:
        raise UnreadableShard(f"{shard} is no whole tar file: {error}") from error
    return [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]


def _members(shard: Path) -> list[Member]:
    """Return (name, file bytes) of a shard's pictures in the order they stand in it."""
    try:
        with shard.open("rb") as stream:
            members = [(member["fname"], member["data"]) for member in tar_file_iterator(stream)]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UnreadableShard(f"{shard} is no whole tar file: {error}") from error
    return [
        (PurePosixPath(name).name, data)
        for name, data in members
        if PurePosixPath(name).suffix.lower() in SUFFIXES
    ]
