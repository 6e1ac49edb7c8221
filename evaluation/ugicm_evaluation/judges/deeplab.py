"""DeepLabv3 semantic segmentation (Chen et al., 2017) exported to TensorFlow Lite."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.judges.protocol import file_hash

__all__ = ["DeepLab"]


class DeepLab:
    """Answers with a label map, uint8: 0 is background, 1 to 20 are PASCAL VOC's classes.

    The map is at the network's resolution: the picture's longest side is resized to it.

    Attributes:
        classes: how many labels there are.
    """

    classes = 21

    def __init__(self, weights: Path, *, name: str = "deeplabv3") -> None:
        """Raise ``BadJudge`` where the file holds no such network."""
        self.name = name
        self.weights_hash = file_hash(weights)
        try:
            self._interpreter = Interpreter(str(weights), num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadJudge(f"{weights} holds no network: {error}") from error
        entry = self._interpreter.get_input_details()[0]
        self._input, self._side = entry["index"], int(entry["shape"][1])
        self._output = self._interpreter.get_output_details()[0]["index"]

    def look(self, picture: Picture) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        scale = self._side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        # The value in the middle, which the network reads as zero.
        padded = np.full((1, self._side, self._side, 3), 128, np.uint8)
        padded[0, : size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        self._interpreter.set_tensor(self._input, padded)
        self._interpreter.invoke()
        labels = self._interpreter.get_tensor(self._output)[0]
        answer: NDArray[np.uint8] = labels[: size[1], : size[0]].astype(np.uint8)
        return answer
