"""Masks as COCO's run lengths: what is stored, and what other people's files hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.protocol import Masks

__all__ = ["PictureMasks"]


@dataclass(frozen=True)
class PictureMasks:
    """The instances of one picture.

    Attributes:
        height: of the picture and of each mask, pixels.
        width: likewise.
        counts: one mask each in COCO's compressed run lengths, the best first.
    """

    height: int
    width: int
    counts: tuple[bytes, ...]

    @classmethod
    def encode(cls, masks: Masks) -> PictureMasks:
        """Pack ``(K, H, W)`` masks; empty ones are left out."""
        _, height, width = masks.shape
        kept = masks[masks.any((1, 2))].astype(np.uint8)
        runs = coco.encode(np.asfortranarray(kept.transpose(1, 2, 0)))
        return cls(height, width, tuple(run["counts"] for run in runs))

    def boxes(self) -> NDArray[np.float64]:
        """Return ``(K, 4)``: left, top, width and height of each instance."""
        if not self.counts:
            return np.zeros((0, 4))
        boxes: NDArray[np.float64] = coco.toBbox(self._runs())
        return boxes

    def areas(self) -> NDArray[np.int64]:
        """Return ``(K,)``, pixels of each instance."""
        if not self.counts:
            return np.zeros(0, np.int64)
        return np.asarray(coco.area(self._runs()), np.int64)

    def take(self, which: NDArray[np.int64]) -> PictureMasks:
        """Return some of the instances."""
        return replace(self, counts=tuple(self.counts[index] for index in which))

    def decode(self) -> Masks:
        """Return ``(K, H, W)``.

        Raises:
            BadMasks: the runs do not cover the picture exactly.
        """
        if not self.counts:
            return np.zeros((0, self.height, self.width), np.bool_)
        try:
            planes = coco.decode(self._runs())
        except ValueError as error:
            raise BadMasks(
                f"run lengths that do not cover {self.height}x{self.width} pixels"
            ) from error
        masks: Masks = planes.transpose(2, 0, 1).view(np.bool_)
        return masks

    def _runs(self) -> list[dict[str, Any]]:
        size = [self.height, self.width]
        return [{"size": size, "counts": counts} for counts in self.counts]
