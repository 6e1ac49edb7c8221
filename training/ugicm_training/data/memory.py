"""Pictures that are decoded once and kept in memory: the device's own where they fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ugicm_training.data.order import Order
from ugicm_training.data.photos import PhotoSet
from ugicm_training.data.source import Batch, as_pictures
from ugicm_training.instances.cropping import Window

__all__ = ["CALIBRATION_PICTURES", "PicturesInMemory"]

CALIBRATION_PICTURES = 32

# Of a GPU's free memory that pictures may take; training needs the rest.
_SHARE_OF_GPU = 0.5


class PicturesInMemory:
    """A set whose crops are cut by index, in a few operations for a whole batch.

    Args:
        photos: every picture, the held-out ones last.
        held_out: how many those are.
        device: that trains.
    """

    def __init__(self, photos: PhotoSet, *, held_out: int, device: torch.device) -> None:
        self.digest = photos.digest
        training, self.held_out = photos.split(held_out)
        self.calibration = training.first(CALIBRATION_PICTURES)
        self.count = len(training.names)
        self._names = training.names
        self._sizes = [picture.shape[:2] for picture in training.pictures]
        self._device = device
        pixels = torch.from_numpy(
            np.concatenate([picture.reshape(-1, 3) for picture in training.pictures])
        )
        self._pixels = pixels.to(_home(device, pixels.nbytes))
        areas = np.array([height * width for height, width in self._sizes])
        self._starts = np.concatenate([[0], np.cumsum(areas)[:-1]])

    def batches(self, order: Order, first: int) -> Iterator[Batch]:
        step = first
        while True:
            yield self._batch(order, step)
            step += 1

    def _batch(self, order: Order, step: int) -> Batch:
        pictures = order.pictures(step, self.count)
        placements = order.placements(step)
        windows = [
            placement.window(self._sizes[picture], order.side)
            for picture, placement in zip(pictures, placements, strict=True)
        ]
        crops = self._cut(pictures, windows)
        return Batch(
            pictures=as_pictures(crops, self._device),
            names=[self._names[picture] for picture in pictures],
            windows=windows,
        )

    def _cut(self, pictures: list[int], windows: list[Window]) -> Tensor:
        """Return ``(N, S, S, 3)`` uint8."""
        side, home = windows[0].side, self._pixels.device
        widths = np.array([self._sizes[picture][1] for picture in pictures])
        tops = np.array([window.top for window in windows])
        # A mirrored crop is read from its last column backwards.
        lefts = np.array([window.left + (side - 1) * window.mirrored for window in windows])
        steps = np.array([-1 if window.mirrored else 1 for window in windows])
        corners = self._starts[pictures] + tops * widths + lefts
        corner, width, step = torch.from_numpy(np.stack([corners, widths, steps])).to(
            home, non_blocking=True
        )[:, :, None, None]
        along = torch.arange(side, device=home)
        index = corner + width * along[:, None] + step * along
        return self._pixels[index]


def _home(device: torch.device, size: int) -> torch.device:
    if device.type == "cuda" and size < _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")
