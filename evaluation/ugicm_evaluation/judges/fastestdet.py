"""FastestDet (Ma, 2022), a detector of a quarter of a million parameters, exported to ONNX."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.judges.detections import detections, open_onnx
from ugicm_evaluation.judges.protocol import file_hash

__all__ = ["FastestDet"]

_SIDE = 352
_CELLS = 22


class FastestDet:
    """Answers with the rows of ``judges.detections``.

    Attributes:
        confident: the score from which its own demonstration shows a detection.
    """

    name = "fastestdet"
    confident = 0.65

    def __init__(self, weights: Path) -> None:
        """Raise ``BadJudge`` where the file holds no such network."""
        self.weights_hash = file_hash(weights)
        self._session = open_onnx(weights, shape=(1, 3, _SIDE, _SIDE))

    def look(self, picture: Picture) -> NDArray[np.float32]:
        # As it was trained: squashed to a square, blue first, 0 to 1.
        height, width = picture.shape[:2]
        square = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
        blob = np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        raw = self._session.run(None, {self._session.get_inputs()[0].name: blob})[0][0]
        rows, columns = np.mgrid[:_CELLS, :_CELLS]
        x = (columns + np.tanh(raw[1])) / _CELLS * width
        y = (rows + np.tanh(raw[2])) / _CELLS * height
        w, h = width / (1 + np.exp(-raw[3])), height / (1 + np.exp(-raw[4]))
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1).reshape(-1, 4)
        scores = (raw[0] ** 0.6 * raw[5:].max(0) ** 0.4).reshape(-1)
        classes = raw[5:].argmax(0).reshape(-1)
        return detections(boxes, scores, classes, least_score=0.01, overlap=0.45)
