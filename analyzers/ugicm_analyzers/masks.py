"""Masks between pixels and COCO's uncompressed run lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.protocol import Mask

__all__ = ["mask_from_pixels", "pixels_from_mask"]


def mask_from_pixels(pixels: NDArray[np.bool_]) -> Mask:
    """Return the run lengths of ``(H, W)`` pixels."""
    # A pixel outside goes before the first, so that the first run is one of pixels outside.
    columns = np.concatenate([[False], pixels.ravel(order="F")])
    changes = np.flatnonzero(columns[1:] != columns[:-1])
    return Mask(tuple(np.diff(changes, prepend=0, append=pixels.size).tolist()))


def pixels_from_mask(mask: Mask, height: int, width: int) -> NDArray[np.bool_]:
    """Return ``(height, width)`` pixels.

    Raises:
        ValueError: the runs do not make up so many pixels.
    """
    if sum(mask.runs) != height * width:
        raise ValueError(f"runs of {height}x{width} pixels sum to {sum(mask.runs)}")
    inside = np.arange(len(mask.runs)) % 2 == 1
    return np.repeat(inside, mask.runs).reshape((height, width), order="F")
