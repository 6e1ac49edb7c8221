"""How far two label maps agree, for a set of pictures and for draws from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion", "mean_intersection_over_union"]


def confusion(
    labels: NDArray[np.uint8], truth: NDArray[np.uint8], *, classes: int
) -> NDArray[np.int64]:
    """Return ``(classes, classes)``: pixels by true label (rows) and label found (columns)."""
    pairs = truth.astype(np.int64).ravel() * classes + labels.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def mean_intersection_over_union(
    confusions: NDArray[np.int64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return ``(D,)``: the mean over the classes that occur in a draw's truth.

    Args:
        confusions: ``(pictures, classes, classes)``.
        draws: ``(D, pictures)``, how often each draw holds each picture.
    """
    totals = np.tensordot(draws, confusions, axes=1)
    found = np.diagonal(totals, axis1=1, axis2=2)
    truth, labelled = totals.sum(2), totals.sum(1)
    ratio = found / np.maximum(truth + labelled - found, 1)
    present = truth > 0
    mean: NDArray[np.float64] = (ratio * present).sum(1) / np.maximum(present.sum(1), 1)
    return mean
