"""The crops of one step as loader processes hand them over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ugicm_training.data.decoding import Picture, Skipped
from ugicm_training.data.order import Placement
from ugicm_training.data.source import Batch, as_pictures
from ugicm_training.errors import TrainingError
from ugicm_training.instances.cropping import Window

__all__ = ["Crops", "Loaded", "cut", "loaded", "together"]


@dataclass(frozen=True)
class Crop:
    """One crop, ``(S, S, 3)``, with the name of its picture and where it lies there."""

    pixels: Picture
    name: str
    window: Window


@dataclass(frozen=True)
class Crops:
    """One step's crops.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8.
        names: of the pictures they come from.
        windows: where they lie.
        unreadable: names of pictures that could not be read.
        small: names of pictures that were too small.
    """

    pixels: Tensor
    names: Sequence[str]
    windows: Sequence[Window]
    unreadable: Sequence[str]
    small: Sequence[str]

    def pin_memory(self) -> Crops:
        """Let the copy to a GPU run beside the training; called by PyTorch's loader."""
        return Crops(
            self.pixels.pin_memory(), self.names, self.windows, self.unreadable, self.small
        )


# PyTorch's loader puts a traceback into the message of what a process raises, so errors are handed
# over as they are.
Loaded = Crops | TrainingError | OSError


def cut(picture: Picture, name: str, placement: Placement, side: int) -> Crop:
    """Cut one crop out of a picture that is large enough."""
    window = placement.window(picture.shape[:2], side)
    pixels = picture[window.top : window.top + side, window.left : window.left + side]
    return Crop(pixels[:, ::-1] if window.mirrored else pixels, name, window)


def together(crops: Sequence[Crop], *, unreadable: Sequence[str], small: Sequence[str]) -> Crops:
    """Stack one step's crops."""
    return Crops(
        pixels=torch.from_numpy(np.stack([crop.pixels for crop in crops])),
        names=[crop.name for crop in crops],
        windows=[crop.window for crop in crops],
        unreadable=unreadable,
        small=small,
    )


def loaded(loader: DataLoader[Loaded], device: torch.device, skipped: Skipped) -> Iterator[Batch]:
    """Yield a loader's steps on the device; pictures that are skipped are logged once each.

    Raises:
        TrainingError, OSError: what a loading process handed over in the place of a step.
    """
    for crops in loader:
        if isinstance(crops, Exception):
            raise crops
        known = skipped.count
        for name in crops.unreadable:
            skipped.add_unreadable(name)
        for name in crops.small:
            skipped.add_small(name)
        if skipped.count > known:
            skipped.report()
        yield Batch(
            pictures=as_pictures(crops.pixels, device), names=crops.names, windows=crops.windows
        )
