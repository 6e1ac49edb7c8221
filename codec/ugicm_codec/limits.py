"""What one picture may cost, checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds on what a caller or a stream may ask for.

    Attributes:
        max_side: pixels along one side.
        max_pixels: pixels in all.
    """

    max_side: int = 65_535
    max_pixels: int = 8192 * 8192
