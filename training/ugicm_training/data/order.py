"""Which pictures a step sees, and which part of each: pure functions of seed and step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ugicm_training.instances.cropping import Window
from ugicm_training.randomness import Draw, generator_at

__all__ = ["Order", "Placement"]


@dataclass(frozen=True)
class Placement:
    """Where in its picture a crop lies, before the picture's size is known.

    Attributes:
        down: in [0, 1), of the rows that are left over.
        right: in [0, 1), of the columns that are left over.
        mirrored: whether left and right are swapped after cropping.
    """

    down: float
    right: float
    mirrored: bool

    def window(self, size: tuple[int, ...], side: int) -> Window:
        """Return the crop of ``side`` pixels in a picture of (height, width) at least as large."""
        height, width = size
        return Window(
            height=height,
            width=width,
            top=int(self.down * (height - side + 1)),
            left=int(self.right * (width - side + 1)),
            side=side,
            mirrored=self.mirrored,
        )


@dataclass(frozen=True)
class Order:
    """The order of one stage's pictures: every picture once in each epoch.

    Several devices share a batch: each takes every ``world``-th picture from its ``rank`` on.

    Attributes:
        seed: of the run.
        stage: index in the recipe.
        batch: pictures a step, over all devices.
        side: pixels along a crop's side.
        rank: of this device.
        world: number of devices.
    """

    seed: int
    stage: int
    batch: int
    side: int
    rank: int = 0
    world: int = 1

    def samples(self, step: int) -> range:
        """Return the numbers of the step's pictures, counted over the whole stage."""
        return range(step * self.batch + self.rank, (step + 1) * self.batch, self.world)

    def pictures(self, step: int, count: int) -> list[int]:
        """Return the step's pictures as indexes into a set of ``count``."""
        return [
            int(_permutation(self.seed, self.stage, sample // count, count)[sample % count])
            for sample in self.samples(step)
        ]

    def placements(self, step: int) -> list[Placement]:
        """Return where the step's crops lie."""
        rng = generator_at(self.seed, Draw.CROPS, self.stage, step)
        rows = rng.random((self.batch, 3))[self.rank :: self.world]
        return [
            Placement(float(down), float(right), bool(side < 0.5)) for down, right, side in rows
        ]

    def replacement(self, step: int, slot: int, attempt: int, count: int) -> int:
        """Return the picture that stands in for one that cannot be read."""
        place = (self.stage, step, self.rank + slot * self.world, 1 + attempt)
        return int(generator_at(self.seed, Draw.ORDER, *place).integers(count))


@lru_cache(maxsize=2)
def _permutation(seed: int, stage: int, epoch: int, count: int) -> NDArray[np.int64]:
    return generator_at(seed, Draw.ORDER, stage, epoch).permutation(count)
