"""Published rate-distortion curves on Kodak, from CompressAI's results files."""

from __future__ import annotations

import json
from pathlib import Path

from ugicm_evaluation.bd import Curve
from ugicm_evaluation.errors import BadCurve

__all__ = ["published_curves"]

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
    found = {}
    for name, file in _FILES.items():
        path = folder / file
        if path.exists():
            try:
                results = json.loads(path.read_text())["results"]
                found[name] = Curve.of(results["bpp"], results["psnr-rgb"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise BadCurve(f"{path} holds no bpp and psnr-rgb: {error}") from error
    return found
