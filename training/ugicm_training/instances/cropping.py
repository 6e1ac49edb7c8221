"""The instances that a training crop shows, out of those stored for whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ugicm_training.errors import BadMasks
from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.instances.protocol import Masks
from ugicm_training.instances.rle import PictureMasks

__all__ = ["InstanceLimits", "Window", "batch_instances", "crop_instances"]


@dataclass(frozen=True)
class Window:
    """Where a training crop was taken.

    Attributes:
        height: of the whole picture as it was decoded, pixels; likewise ``width``.
        top: first row of the crop; likewise ``left``.
        side: of the crop.
        mirrored: whether left and right are swapped after cropping.
    """

    height: int
    width: int
    top: int
    left: int
    side: int
    mirrored: bool


@dataclass(frozen=True)
class InstanceLimits:
    """Which instances of a crop are worth a look by the teacher.

    Attributes:
        most: instances per crop; which ones is drawn where there are more.
        smallest: area in the crop, as a share of the crop. At a side of 192, 1 % is 19x19 pixels:
            less carries no meaning once enlarged to what the teacher wants.
        largest: likewise; an instance that fills the crop is what the global term sees already.
        least_visible: the share of the whole instance that lies in the crop; less is a sliver.
    """

    most: int = 4
    smallest: float = 0.01
    largest: float = 0.9
    least_visible: float = 0.3


def crop_instances(
    stored: PictureMasks, window: Window, limits: InstanceLimits, rng: np.random.Generator
) -> Masks:
    """Return ``(K, side, side)``: the instances that one crop shows, K at most ``limits.most``.

    Raises:
        BadMasks: the masks were made from a picture of another size, or are damaged.
    """
    if (stored.height, stored.width) != (window.height, window.width):
        raise BadMasks(
            f"masks of {stored.height}x{stored.width} pixels "
            f"for a picture of {window.height}x{window.width}"
        )
    near = stored.take(np.nonzero(_overlaps(stored, window))[0])
    crops = near.decode()[
        :, window.top : window.top + window.side, window.left : window.left + window.side
    ]
    seen = np.count_nonzero(crops, axis=(1, 2))
    share = seen / window.side**2
    shown = np.nonzero(
        (limits.smallest <= share)
        & (share <= limits.largest)
        & (seen >= limits.least_visible * near.areas())
    )[0]
    if len(shown) > limits.most:
        shown = np.sort(rng.choice(shown, limits.most, replace=False))
    chosen = crops[shown, :, ::-1] if window.mirrored else crops[shown]
    return np.ascontiguousarray(chosen)


def batch_instances(crops: Sequence[Masks], side: int) -> InstanceMasks:
    """Join what :func:`crop_instances` returned for each picture of a batch, in its order."""
    owner = np.repeat(np.arange(len(crops)), [len(masks) for masks in crops])
    masks = np.concatenate([np.zeros((0, side, side), np.bool_), *crops])
    return InstanceMasks(torch.from_numpy(masks), torch.from_numpy(owner))


def _overlaps(stored: PictureMasks, window: Window) -> NDArray[np.bool_]:
    left, top, width, height = stored.boxes().T
    overlaps: NDArray[np.bool_] = (
        (left < window.left + window.side)
        & (left + width > window.left)
        & (top < window.top + window.side)
        & (top + height > window.top)
    )
    return overlaps
