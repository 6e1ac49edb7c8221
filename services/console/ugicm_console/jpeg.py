"""What JPEG makes of the same picture in the same bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from PIL import Image

from ugicm_servicekit.pictures import Pixels

__all__ = ["Jpeg", "jpeg_within"]

# Above it Pillow advises against: files grow, and pictures hardly change.
_BEST = 95


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file.

    Attributes:
        data: the file.
        quality: JPEG's own, 1 to 95.
        fits: whether it has no more bytes than it was given.
    """

    data: bytes = field(repr=False)
    quality: int
    fits: bool


def jpeg_within(pixels: Pixels, max_bytes: int) -> Jpeg:
    """Return the best JPEG file of at most ``max_bytes``; JPEG's smallest where none is so small.

    Quality is bisected: files grow with it, but for a few bytes.

    Args:
        pixels: ``(H, W, 3)``, RGB; each side at most 65535.
        max_bytes: to fit into.
    """
    image = Image.fromarray(pixels)
    smallest = _written(image, 1)
    if len(smallest) > max_bytes:
        return Jpeg(smallest, 1, fits=False)
    best, low, high = Jpeg(smallest, 1, fits=True), 2, _BEST
    while low <= high:
        quality = (low + high) // 2
        data = _written(image, quality)
        if len(data) <= max_bytes:
            best, low = Jpeg(data, quality, fits=True), quality + 1
        else:
            high = quality - 1
    return best


def _written(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
    return file.getvalue()
