"""DeepLab's semantic segmentation (Chen et al., 2017), exported to TensorFlow Lite."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import ai_edge_litert
import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ugicm_analyzers.errors import BadWeights
from ugicm_analyzers.labels import answerable, specified_labels, voc_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Pixels, Task
from ugicm_analyzers.segmenting import LabelMap, Segmenter, resize_map
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import digest, one_line, version_of

__all__ = ["TfliteSegmenter"]

# The value in the middle, which the network reads as zero.
_PADDING = 128


class TfliteSegmenter(Segmenter):
    """A network from ``(1, S, S, 3)`` uint8 to ``(1, S, S)`` classes; VOC's unless specified.

    The picture's longer side is resized to S, and the map back to the nearest. One picture at a
    time: each finds the same alone and in a batch.
    """

    def __init__(self, specification: Specification) -> None:
        """Raise ``AnalyzerUnavailable`` or ``BadWeights`` where there is no such network."""
        path = Path(specification.weights)
        sha256 = digest(path)
        try:
            self._interpreter = Interpreter(str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadWeights(
                f"{path} holds no network ({one_line(error)}): get the file again"
            ) from error
        entry = self._interpreter.get_input_details()[0]
        result = self._interpreter.get_output_details()[0]
        self._side = int(entry["shape"][1])
        takes, gives = entry["shape"].tolist(), result["shape"].tolist()
        if (takes, entry["dtype"]) != ([1, self._side, self._side, 3], np.uint8) or (
            gives != [1, self._side, self._side]
        ):
            raise BadWeights(
                f"{path}: expected a network from (1, S, S, 3) uint8 to (1, S, S) classes, "
                f"got {takes} {np.dtype(entry['dtype'])} to {gives}"
            )
        self._input, self._output = entry["index"], result["index"]
        # A call changes the interpreter's tensors.
        self._turn = threading.Lock()
        self.classes = specified_labels(specification) or voc_labels()
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.SEGMENT,
            version=version_of(
                specification,
                ai_edge_litert,
                cv2,
                weights=sha256,
                labels=self.classes,
            ),
            labels=answerable(specification, self.classes),
        )

    def label_maps(self, pictures: Sequence[Pixels]) -> list[LabelMap]:
        """Return the class of every pixel, in each picture's own size."""
        return [resize_map(self.own_map(one), *one.shape[:2]) for one in pictures]

    def own_map(self, picture: Pixels) -> LabelMap:
        """Return the map in the network's resolution: ``(h, w)``, the longer one S.

        Raises:
            BadWeights: the network answers with a class that has no label.
        """
        scale = self._side / max(picture.shape[:2])
        height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
        padded = np.full((1, self._side, self._side, 3), _PADDING, np.uint8)
        padded[0, :height, :width] = cv2.resize(
            picture, (width, height), interpolation=cv2.INTER_LINEAR
        )
        with self._turn:
            self._interpreter.set_tensor(self._input, padded)
            self._interpreter.invoke()
            found = self._interpreter.get_tensor(self._output)[0, :height, :width]
        if found.min() < 0 or found.max() >= len(self.classes):
            raise BadWeights(
                f"{self.info.name}: the network answers with the classes {found.min()} to "
                f"{found.max()}, and there are {len(self.classes)} labels"
            )
        answer: LabelMap = found.astype(np.uint8)
        return answer
