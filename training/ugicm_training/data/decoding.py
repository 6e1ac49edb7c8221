"""Decodes picture files, and tells those that cannot be trained on."""

from __future__ import annotations

import io
import logging

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

__all__ = ["UNREADABLE", "Picture", "Skipped", "decode_picture"]

_log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

# What Pillow's readers raise on damaged files.
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
)


def decode_picture(data: bytes) -> Picture:
    """Return ``(H, W, 3)``, RGB.

    Raises:
        OSError, SyntaxError, ValueError: one of ``UNREADABLE``.
    """
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class Skipped:
    """Counts the pictures that are left out, and names the first of each kind."""

    def __init__(self, minimum_side: int) -> None:
        self.minimum_side = minimum_side
        self._unreadable: dict[str, None] = {}
        self._small: dict[str, None] = {}

    def add_unreadable(self, name: str) -> None:
        self._unreadable[name] = None

    def add_small(self, name: str) -> None:
        self._small[name] = None

    @property
    def count(self) -> int:
        return len(self._unreadable) + len(self._small)

    def report(self) -> None:
        """Log one line for each kind that there is."""
        for kind, names in (
            ("unreadable pictures", self._unreadable),
            (f"pictures smaller than {self.minimum_side} pixels", self._small),
        ):
            if names:
                _log.warning("skipped %d %s, the first is %s", len(names), kind, next(iter(names)))
