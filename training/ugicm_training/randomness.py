"""Random numbers as pure functions of a run's seed and where in the run they are drawn.

Nothing of a generator is ever kept, so that a resumed run draws what it would have drawn.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Draw", "generator_at", "seed_at"]


class Draw(IntEnum):
    """What numbers are for; draws for one purpose never change those for another."""

    ORDER = 0
    CROPS = 1
    PLAN = 2
    NOISE = 3
    LOCAL_CROPS = 4
    WEIGHTS = 5
    INSTANCES = 6


def generator_at(seed: int, draw: Draw, *position: int) -> np.random.Generator:
    """Return a generator for ``draw`` at ``position``: stage and step, or stage and epoch."""
    return np.random.default_rng((seed, int(draw), *position))


def seed_at(seed: int, draw: Draw, *position: int) -> int:
    """Return a seed for PyTorch's generators, in [0, 2^63)."""
    words = np.random.SeedSequence((seed, int(draw), *position)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
