"""Measures what bfloat16 costs in dB on photographs; prints JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ugicm_codec import Codec

QUALITIES = (0, 50, 100)


def main() -> None:
    """Measure the photos named on the command line."""
    native = Codec.load().precision is torch.bfloat16
    full = Codec.load(precision=torch.float32)
    half = Codec.load(precision=torch.bfloat16)
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sys.argv[1:]]
    losses, percents = [], []
    for photo in photos:
        for quality in QUALITIES:
            reference, stream = full.encode(photo, quality), half.encode(photo, quality)
            losses.append(_psnr(photo, full.decode(reference)) - _psnr(photo, half.decode(stream)))
            percents.append(100 * (len(stream) / len(reference) - 1))
    print(
        json.dumps(
            {
                "photos": [Path(path).name for path in sys.argv[1:]],
                "native": native,
                "mean_loss_db": float(np.mean(losses)),
                "largest_loss_db": float(np.max(losses)),
                "mean_growth_percent": float(np.mean(percents)),
            }
        )
    )


def _psnr(picture: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.mean((picture.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / error))


if __name__ == "__main__":
    main()
