"""The instances that a training crop shows, out of those stored for whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ugicm_training.errors import BadMasks
from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.instances.protocol import Masks
from ugicm_training.instances.rle import PictureMasks, columns

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
        most: instances per crop; which ones is drawn where there are more. The teacher sees each
            one enlarged, at the price of a whole picture.
        smallest: area in the crop, as a share of the crop. At a side of 192, 1 % is 19x19 pixels:
            less carries no meaning once enlarged to what the teacher wants.
        largest: likewise; an instance that fills the crop is what the global term sees already.
        least_visible: the share of the whole instance that lies in the crop; less is a sliver.
    """

    most: int = 2
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
    shown = []
    for runs in stored.runs():
        crop = columns(runs, window.height, window.left, window.side)
        crop = crop[window.top : window.top + window.side]
        seen = np.count_nonzero(crop)
        if (
            limits.smallest <= seen / window.side**2 <= limits.largest
            and seen >= limits.least_visible * runs[1::2].sum()
            and seen > 0
        ):
            shown.append(crop[:, ::-1] if window.mirrored else crop)
    if len(shown) > limits.most:
        drawn = np.sort(rng.choice(len(shown), limits.most, replace=False))
        shown = [shown[index] for index in drawn]
    return np.stack(shown) if shown else np.zeros((0, window.side, window.side), np.bool_)


def batch_instances(crops: Sequence[Masks], side: int) -> InstanceMasks:
    """Join what :func:`crop_instances` returned for each picture of a batch, in its order."""
    owner = np.repeat(np.arange(len(crops)), [len(masks) for masks in crops])
    masks = np.concatenate([np.zeros((0, side, side), np.bool_), *crops])
    return InstanceMasks(torch.from_numpy(masks), torch.from_numpy(owner))
