"""How near pixels are to the original's."""

from __future__ import annotations

import math

import numpy as np

from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["psnr"]


def psnr(picture: Picture, original: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all three channels.

    Equal pictures have 100 dB: averages and curves need a number.
    """
    error = float(np.mean((picture.astype(np.float64) - original) ** 2))
    return 10.0 * math.log10(255.0**2 / error) if error else 100.0
