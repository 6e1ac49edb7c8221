"""What a classifier still knows, for each picture.

Arrays hold natural logarithms of probabilities, ``(pictures, classes)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["agreement", "correct", "divergence", "true_class_probability"]

Float = NDArray[np.float64]


def correct(answers: Float, classes: NDArray[np.int64], *, within: int) -> Float:
    """Return 1 where the true class is among the ``within`` likeliest, else 0."""
    true = np.take_along_axis(answers, classes[:, None], axis=1)
    found: Float = ((answers > true).sum(1) < within).astype(np.float64)
    return found


def agreement(answers: Float, originals: Float) -> Float:
    """Return 1 where the likeliest class is the one of the uncompressed picture, else 0."""
    same: Float = (answers.argmax(1) == originals.argmax(1)).astype(np.float64)
    return same


def true_class_probability(answers: Float, classes: NDArray[np.int64]) -> Float:
    """Return the probability given to the true class."""
    true: Float = np.exp(np.take_along_axis(answers, classes[:, None], axis=1))[:, 0]
    return true


def divergence(answers: Float, originals: Float) -> Float:
    """Return the Kullback-Leibler divergence in nats from the uncompressed picture's answer."""
    total: Float = (np.exp(originals) * (originals - answers)).sum(1)
    return total
