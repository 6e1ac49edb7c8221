"""Published rate-distortion curves on Kodak, from CompressAI's results files."""

from __future__ import annotations

import json
from pathlib import Path

from ugicm_evaluation.bd import Curve
from ugicm_evaluation.errors import BadCurve

__all__ = ["published_curve", "published_curves"]

_FILES = {
    "bmshj2018": "compressai-bmshj2018-hyperprior_mse_cuda.json",
    "JPEG": "jpeg.json",
    "WebP": "webp.json",
    "VTM": "vtm.json",
}


def published_curves(folder: Path) -> dict[str, Curve]:
    """Return the curves that a folder holds, by codec.

    Raises:
        BadCurve: a file holds no curve.
    """
    return {
        name: published_curve(folder / file)
        for name, file in _FILES.items()
        if (folder / file).exists()
    }


def published_curve(path: Path, *, metric: str = "psnr-rgb") -> Curve:
    """Return the curve of a file of results as CompressAI publishes them.

    Args:
        path: of the file.
        metric: ``psnr-rgb`` or ``ms-ssim-rgb``.

    Raises:
        BadCurve: the file holds no such curve.
    """
    try:
        results = json.loads(path.read_text())["results"]
        return Curve.of(results["bpp"], results[metric])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCurve(f"{path} holds no bpp and {metric}: {error}") from error
