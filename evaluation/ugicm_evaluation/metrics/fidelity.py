"""How near pixels are to the original's."""

from __future__ import annotations

import math

import numpy as np

from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["psnr"]


def psnr(picture: Picture, original: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all three channels; infinite if equal."""
    error = float(np.mean((picture.astype(np.float64) - original) ** 2))
    return 10.0 * math.log10(255.0**2 / error) if error else math.inf
