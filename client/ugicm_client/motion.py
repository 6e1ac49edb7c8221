"""Let pass only the pictures that differ from the last one that passed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ugicm_client.pictures import Pixels

__all__ = ["MotionGate"]

_CELLS = 64
_LEVELS = 8


class MotionGate:
    """Decides, picture by picture, whether something moved.

    A picture is divided into 64 cells along its longer side, as square as they can be. A cell has
    changed if its mean luma differs by more than 8 of 255 levels from the last picture that
    passed: averages over a cell are hardly moved by noise, and slow changes of light add up until
    they pass too. A picture passes if at least ``share`` of its cells have changed; so do the
    first one, one of another size, and one ``key_seconds`` after the last that passed.

    Args:
        share: of the cells, above 0, up to 1.
        key_seconds: the longest time between pictures that pass, on the source's own clock.
    """

    def __init__(self, *, share: float, key_seconds: float) -> None:
        self._share = share
        self._key_seconds = key_seconds
        self._passed: NDArray[np.int16] | None = None
        self._passed_at: float | None = None

    def __str__(self) -> str:
        return f"where {self._share:g} moves, or after {self._key_seconds:g} s"

    def passes(self, image: Pixels, seconds: float | None) -> bool:
        """Tell whether a picture passes, and compare the next ones to it if it does.

        Args:
            image: ``(H, W, 3)``.
            seconds: when it was taken; None in a source without time.
        """
        cells = _mean_lumas(image)
        if not (self._is_due(seconds) or self._has_changed(cells)):
            return False
        self._passed, self._passed_at = cells, seconds
        return True

    def restart(self) -> None:
        """Let the next picture pass, as the first one did."""
        self._passed = None

    def _is_due(self, seconds: float | None) -> bool:
        if seconds is None or self._passed_at is None:
            return False
        return seconds - self._passed_at >= self._key_seconds

    def _has_changed(self, cells: NDArray[np.int16]) -> bool:
        if self._passed is None or self._passed.shape != cells.shape:
            return True
        changed = np.abs(cells - self._passed) > _LEVELS
        return float(changed.mean()) >= self._share


def _mean_lumas(image: Pixels) -> NDArray[np.int16]:
    height, width = image.shape[:2]
    side = max(height, width, _CELLS) / _CELLS
    size = (max(1, round(width / side)), max(1, round(height / side)))
    luma = Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(luma, np.int16)
