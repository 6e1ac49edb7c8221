"""Turn the windows that OpenCV's sliding detectors answer with into detections."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.protocol import Box, Detection, Pixels

__all__ = ["detections_from_windows", "shrink"]

_MAX_SIDE = 1280
# Windows that share more of their union than this are one object.
_SAME_OBJECT = 0.3


def shrink(picture: Pixels) -> tuple[Pixels, float]:
    """Return the picture with its longer side at most 1280 pixels, and the scale back.

    Bounds the time that a large picture takes; what is smaller than a window then is lost.
    """
    scale = max(picture.shape[:2]) / _MAX_SIDE
    if scale <= 1:
        return picture, 1.0
    height, width = (max(round(side / scale), 1) for side in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), scale


def detections_from_windows(
    windows: NDArray[np.float64],
    scores: NDArray[np.float64],
    *,
    label: str,
    scale: float,
    size: Sequence[int],
) -> tuple[Detection, ...]:
    """Return one detection for each object, the highest score first.

    Args:
        windows: ``(N, 4)``: left, top, width and height.
        scores: ``(N,)``, each in [0, 1].
        label: what the windows show.
        scale: from the windows' pixels to the picture's.
        size: height and width of the picture, in its own pixels.
    """
    # OpenCV's threads answer in the order in which they finish.
    order = np.lexsort((*windows.T, -scores))
    windows, scores = windows[order], scores[order]
    kept = cv2.dnn.NMSBoxes(windows.tolist(), scores.tolist(), 0.0, _SAME_OBJECT)
    height, width = size
    return tuple(
        Detection(
            label=label,
            score=float(scores[index]),
            box=Box(
                left=max(left * scale, 0.0),
                top=max(top * scale, 0.0),
                right=min((left + across) * scale, float(width)),
                bottom=min((top + down) * scale, float(height)),
            ),
        )
        for index in kept
        for left, top, across, down in [windows[index].tolist()]
    )
