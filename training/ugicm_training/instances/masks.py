"""The instances that a batch of training crops shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["InstanceMasks"]


@dataclass(frozen=True)
class InstanceMasks:
    """Instances of a batch of crops, all pictures' in one list.

    Attributes:
        masks: bool ``(K, H, W)`` over the crop; K may be 0. Masks may overlap, none is empty.
        owner: int64 ``(K,)``, ascending: the index in the batch of the picture each belongs to.
    """

    masks: Tensor
    owner: Tensor

    def to(self, device: torch.device) -> InstanceMasks:
        """Return the same instances on another device."""
        return InstanceMasks(
            self.masks.to(device, non_blocking=True), self.owner.to(device, non_blocking=True)
        )
