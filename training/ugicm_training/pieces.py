"""Cuts out what a teacher is shown, the same of original and reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.teachers.protocol import Teacher, resize

__all__ = ["Crops", "Cut", "Instances", "Whole"]

# An instance is enlarged at most this many times: a few pixels blown up to all that the teacher
# sees are a smear without meaning. A smaller one stays small, amid the mean colour.
_MOST_ENLARGED = 8


class Cut(Protocol):
    """Where to cut, decided before any pixel is looked at.

    Attributes:
        owner: int64 ``(P,)``, the index in the batch of the picture each piece comes from.
    """

    @property
    def owner(self) -> Tensor: ...

    def pieces(self, pictures: Tensor, teacher: Teacher) -> Tensor:
        """Return ``(P, 3, side, side)`` out of ``(N, 3, H, W)``, as large as the teacher wants."""
        ...


@dataclass(frozen=True)
class Whole:
    """Each picture whole; what is not square is squeezed, so that nothing is left out."""

    owner: Tensor

    @classmethod
    def of(cls, pictures: Tensor) -> Whole:
        """Cut ``(N, 3, H, W)``."""
        return cls(torch.arange(pictures.shape[0], device=pictures.device))

    def pieces(self, pictures: Tensor, teacher: Teacher) -> Tensor:
        return resize(pictures, teacher)


@dataclass(frozen=True)
class Crops:
    """One square of each picture.

    Attributes:
        tops: first row of each square; ``lefts`` likewise.
        side: of every square, pixels of the picture.
    """

    owner: Tensor
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    side: int

    @classmethod
    def draw(cls, pictures: Tensor, share: float, generator: torch.Generator) -> Crops:
        """Place a square of ``share`` of the shorter side in each of ``(N, 3, H, W)``."""
        count, _, height, width = pictures.shape
        side = max(1, round(share * min(height, width)))
        # On the CPU, so that a GPU need not be waited for.
        tops = torch.randint(height - side + 1, (count,), generator=generator)
        lefts = torch.randint(width - side + 1, (count,), generator=generator)
        owner = torch.arange(count, device=pictures.device)
        return cls(owner, tuple(tops.tolist()), tuple(lefts.tolist()), side)

    def pieces(self, pictures: Tensor, teacher: Teacher) -> Tensor:
        corners = zip(pictures, self.tops, self.lefts, strict=True)
        crops = [
            picture[:, top : top + self.side, left : left + self.side]
            for picture, top, left in corners
        ]
        return resize(torch.stack(crops), teacher)


@dataclass(frozen=True)
class Instances:
    """Each instance cut along its mask, in the middle of a square that its box just fits into.

    Around it is the teacher's mean colour, which its normalisation turns into zeros: black, as
    masks usually leave it, is a strong input, and an edge along the mask that both pictures share
    would make them more alike than their contents are.

    Attributes:
        boxes: (picture, top, bottom, left, right) of each mask, ends exclusive.
        masks: bool ``(P, H, W)``.
    """

    owner: Tensor
    boxes: tuple[tuple[int, int, int, int, int], ...]
    masks: Tensor

    @classmethod
    def of(cls, pictures: Tensor, instances: InstanceMasks) -> Instances:
        """Cut along the masks of the batch ``(N, 3, H, W)``.

        Raises:
            ValueError: the masks are of another size than the pictures.
        """
        masks = instances.masks
        if masks.shape[1:] != pictures.shape[2:]:
            raise ValueError(
                f"the masks are {tuple(masks.shape[1:])}, the pictures {tuple(pictures.shape[2:])}"
            )
        tops, bottoms = _extent(masks.any(2))
        lefts, rights = _extent(masks.any(1))
        # One transfer for all boxes.
        table = torch.stack([instances.owner, tops, bottoms, lefts, rights], 1)
        boxes = tuple((a, b, c, d, e) for a, b, c, d, e in table.tolist())
        return cls(instances.owner, boxes, masks)

    def pieces(self, pictures: Tensor, teacher: Teacher) -> Tensor:
        if not self.boxes:
            return pictures.new_zeros(0, 3, teacher.side, teacher.side)
        mean = pictures.new_tensor(teacher.mean_colour)[:, None, None]
        least = -(-teacher.side // _MOST_ENLARGED)
        squares = []
        for (index, top, bottom, left, right), mask in zip(self.boxes, self.masks, strict=True):
            box = pictures[index, :, top:bottom, left:right]
            # Relative to the mean colour, so that zeros are what surrounds the instance.
            instance = (box - mean) * mask[top:bottom, left:right]
            squares.append(resize(_centred(instance, least)[None], teacher))
        return torch.cat(squares) + mean


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and one past the last True of each row of bool ``(K, L)``."""
    numbers = occupied.to(torch.int64)  # argmax knows no bool, and of equals takes the first
    return numbers.argmax(1), occupied.shape[1] - numbers.flip(1).argmax(1)


def _centred(instance: Tensor, least: int) -> Tensor:
    """Return ``(3, h, w)`` in the middle of a square of zeros, of ``least`` pixels or more."""
    height, width = instance.shape[1:]
    side = max(height, width, least)
    down, right = side - height, side - width
    return functional.pad(instance, (right // 2, right - right // 2, down // 2, down - down // 2))
