"""How near pixels are to the original's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytorch_msssim
import torch
from skimage.metrics import structural_similarity

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.tasks.protocol import Better

__all__ = ["Fidelity", "ms_ssim", "open_fidelity", "psnr", "ssim"]

# Five scales of windows of 11 pixels, and the window at the coarsest must still fit.
_LEAST_SIDE_OF_MS_SSIM = 161
_WINDOW = 11


def psnr(picture: Picture, original: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all three channels.

    Equal pictures have 100 dB: averages and curves need a number.
    """
    error = float(np.mean((picture.astype(np.float64) - original) ** 2))
    return 10.0 * math.log10(255.0**2 / error) if error else 100.0


def ssim(picture: Picture, original: Picture) -> float:
    """Return the structural similarity (Wang et al., 2004), the mean over the three channels.

    With the paper's Gaussian window; not a number where a side is less than 11 pixels.
    """
    if min(original.shape[:2]) < _WINDOW:
        return math.nan
    return float(
        structural_similarity(
            original,
            picture,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def ms_ssim(picture: Picture, original: Picture) -> float:
    """Return the multi-scale structural similarity (Wang et al., 2003), as CompressAI computes it.

    Not a number where a side is less than 161 pixels: five scales do not fit.
    """
    if min(original.shape[:2]) < _LEAST_SIDE_OF_MS_SSIM:
        return math.nan
    pixels = [
        torch.from_numpy(each.copy()).permute(2, 0, 1)[None].double()
        for each in (picture, original)
    ]
    return float(pytorch_msssim.ms_ssim(*pixels, data_range=255))


@dataclass(frozen=True)
class Fidelity:
    """A figure of one decoded picture and its original.

    Attributes:
        measure: the decoded picture first.
        identity: differs wherever the figure may.
    """

    title: str
    unit: str
    measure: Callable[[Picture, Picture], float]
    identity: str
    better: Better = Better.HIGHER


_BY_NAME: Mapping[str, Fidelity] = {
    "psnr": Fidelity("PSNR", "dB", psnr, "1"),
    "ssim": Fidelity("SSIM", "", ssim, "1"),
    "ms-ssim": Fidelity("MS-SSIM", "", ms_ssim, "1"),
}


def open_fidelity(name: str) -> Fidelity:
    """Return a metric that needs no weights: ``psnr``, ``ssim`` or ``ms-ssim``."""
    return _BY_NAME[name]
