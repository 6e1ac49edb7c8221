"""YOLOX detectors (Ge et al., 2021) exported to ONNX."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.judges.detections import detections, open_onnx
from ugicm_evaluation.judges.protocol import file_hash

__all__ = ["Yolox"]

_STRIDES = (8, 16, 32)
_PADDING = 114


class Yolox:
    """Answers with the rows of ``judges.detections``.

    Attributes:
        confident: the score from which its own demonstration shows a detection.
    """

    confident = 0.3

    def __init__(self, weights: Path, *, name: str = "yolox_nano", side: int = 416) -> None:
        """Raise ``BadJudge`` where the file holds no such network."""
        self.name = name
        self.weights_hash = file_hash(weights)
        self._side = side
        self._session = open_onnx(weights, shape=(1, 3, side, side))
        cells = [np.mgrid[: side // s, : side // s][::-1].reshape(2, -1).T for s in _STRIDES]
        self._cells = np.concatenate(cells).astype(np.float32)
        sizes = [np.full((len(cell), 1), s) for cell, s in zip(cells, _STRIDES, strict=True)]
        self._strides = np.concatenate(sizes).astype(np.float32)

    def look(self, picture: Picture) -> NDArray[np.float32]:
        # As it was trained: the picture in the top left corner, blue first, 0 to 255.
        height, width = picture.shape[:2]
        scale = min(self._side / height, self._side / width)
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        padded = np.full((self._side, self._side, 3), _PADDING, np.uint8)
        padded[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        blob = np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        raw = self._session.run(None, {self._session.get_inputs()[0].name: blob})[0][0]
        centres = (raw[:, :2] + self._cells) * self._strides
        sizes = np.exp(raw[:, 2:4]) * self._strides
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1) / scale
        scores = raw[:, 4:5] * raw[:, 5:]
        # One detection of a place for each class that is likely enough, as in COCO's evaluation.
        places, classes = np.nonzero(scores >= 0.01)
        return detections(
            boxes[places], scores[places, classes], classes, least_score=0.01, overlap=0.65
        )
