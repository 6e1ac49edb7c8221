"""Intervals by a paired bootstrap over pictures (Efron, 1979; the percentile method).

A draw says how often it holds each picture. Every figure is computed for the same draws, so that
the difference of two figures has an interval of its own: what is common to both cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "draw_pictures", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """A figure on the set itself, and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


def draw_pictures(pictures: int, *, draws: int, seed: int) -> NDArray[np.int64]:
    """Return ``(1 + draws, pictures)``: the set itself, then draws with replacement."""
    random = np.random.default_rng(seed).multinomial(
        pictures, np.full(pictures, 1 / pictures), size=draws
    )
    itself = np.ones((1, pictures), np.int64)
    return np.concatenate([itself, random])


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return the first value, and the 2.5th and 97.5th percentile of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high))
