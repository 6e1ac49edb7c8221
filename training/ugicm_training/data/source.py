"""What a set of training pictures gives the trainer, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ugicm_training.data.order import Order
from ugicm_training.data.photos import PhotoSet
from ugicm_training.instances.cropping import Window

__all__ = ["Batch", "PictureSource", "as_pictures"]


@dataclass(frozen=True)
class Batch:
    """One device's crops of one step.

    Attributes:
        pictures: ``(N, 3, S, S)`` in [0, 1] on the device, channels last.
        names: of the pictures that they come from.
        windows: where they lie in those pictures.
    """

    pictures: Tensor
    names: Sequence[str]
    windows: Sequence[Window]


class PictureSource(Protocol):
    """A set of training pictures.

    Attributes:
        count: pictures that are trained on.
        digest: names the set, so that a run never goes on with another.
        held_out: pictures that are never trained on.
        calibration: pictures to calibrate an export on.
    """

    count: int
    digest: str
    held_out: PhotoSet
    calibration: PhotoSet

    def batches(self, order: Order, first: int) -> Iterator[Batch]:
        """Yield the batches from step ``first`` on, without end."""
        ...


def as_pictures(crops: Tensor, device: torch.device) -> Tensor:
    """Return uint8 ``(N, S, S, 3)`` as float ``(N, 3, S, S)`` in [0, 1], channels last."""
    moved = crops.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return moved.to(torch.float32, memory_format=torch.channels_last).div_(255.0)
