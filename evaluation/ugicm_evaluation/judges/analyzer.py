"""Any analyzer as a judge: what it finds, as one array."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.classifying import Classifier
from ugicm_analyzers.protocol import Analyzer, Detection, Mask, Task
from ugicm_analyzers.registry import ANALYZERS, open_analyzer
from ugicm_analyzers.segmenting import Segmenter
from ugicm_analyzers.specification import parse_specification
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.metrics.instances import Instances, instances

__all__ = ["AnalyzerJudge", "Answer"]


class Answer(Enum):
    """What a judge's array holds."""

    # (classes,), natural logarithms of probabilities.
    CLASSES = "classes"
    # (n, 6): x1, y1, x2, y2 in pixels, score, index of the label.
    BOXES = "boxes"
    # As ``metrics.instances`` has them.
    MASKS = "masks"
    # (H, W), indexes of labels.
    LABEL_MAP = "label map"


class AnalyzerJudge:
    """An analyzer that answers with one array.

    Attributes:
        name: of the judge.
        weights_hash: the analyzer's version.
        answer: what its array holds.
        labels: what the array's numbers mean.
        confident: the score from which its family shows a detection.
    """

    def __init__(
        self,
        name: str,
        specification: str,
        *,
        labels: Sequence[str] = (),
        least_score: float = 0.001,
        shapes: Answer = Answer.BOXES,
    ) -> None:
        """Open the analyzer.

        Args:
            name: of the judge.
            specification: as the analytics service takes it, without the name; or the name of an
                embedded analyzer.
            labels: for a classifier that needs to be given some.
            least_score: what a detector finds less likely is left out.
            shapes: of what is detected, boxes or masks.

        Raises:
            AnalyzerError: it is not to be had.
            BadJudge: it needs labels, or knows them itself.
        """
        text = specification if specification in ANALYZERS else f"{name}={specification}"
        specified = msgspec.structs.replace(parse_specification(text), least_score=least_score)
        self._analyzer = open_analyzer(specified)
        self._analyzer.load()
        info = self._analyzer.info
        if bool(labels) != info.needs_labels:
            raise BadJudge(
                f"{name}: {specification} needs labels to tell apart"
                if info.needs_labels
                else f"{name}: {specification} has labels of its own, and was given others"
            )
        self.name = name
        self.weights_hash = f"{info.version} {shapes.value} {' '.join(labels)}".strip()
        self.confident = info.minimum_score
        self.labels = tuple(labels) or _labels(self._analyzer)
        self.answer = {Task.CLASSIFY: Answer.CLASSES, Task.SEGMENT: Answer.LABEL_MAP}.get(
            info.task, shapes
        )
        self._given = tuple(labels)
        if self.answer is Answer.CLASSES and not isinstance(self._analyzer, Classifier):
            raise BadJudge(f"{name}: {specification} gives no probabilities")
        if self.answer is Answer.LABEL_MAP and not isinstance(self._analyzer, Segmenter):
            raise BadJudge(f"{name}: {specification} gives no label maps")

    def look(self, picture: Picture) -> NDArray[Any]:
        """Return what it finds in a picture.

        Raises:
            BadJudge: masks were asked of a detector that knows boxes alone.
            AnalyzerError: it cannot look at this picture.
        """
        if isinstance(self._analyzer, Classifier):
            row: NDArray[Any] = self._analyzer.log_probabilities([picture], self._given)[0]
            return row
        if isinstance(self._analyzer, Segmenter):
            return self._analyzer.label_maps([picture])[0]
        (found,) = self._analyzer.analyze([picture], ())
        if self.answer is Answer.MASKS:
            return self._instances(found.detections, picture)
        return self._rows(found.detections)

    def _rows(self, detections: Sequence[Detection]) -> NDArray[np.float32]:
        rows = [
            [*_corners(one), one.score, float(self.labels.index(one.label))] for one in detections
        ]
        return np.array(rows, np.float32).reshape(-1, 6)

    def _instances(self, detections: Sequence[Detection], picture: Picture) -> Instances:
        height, width = picture.shape[:2]
        runs = [self._mask(one).runs for one in detections]
        return instances(self._rows(detections), runs, height=height, width=width)

    def _mask(self, detection: Detection) -> Mask:
        if detection.mask is None:
            raise BadJudge(f"{self.name} was asked for masks, and finds boxes alone")
        return detection.mask


def _corners(detection: Detection) -> tuple[float, float, float, float]:
    box = detection.box
    return box.left, box.top, box.right, box.bottom


def _labels(analyzer: Analyzer) -> tuple[str, ...]:
    if isinstance(analyzer, Classifier | Segmenter):
        return analyzer.classes
    return analyzer.info.labels
