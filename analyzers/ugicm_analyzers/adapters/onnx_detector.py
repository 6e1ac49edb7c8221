"""Detectors exported to ONNX, of the layouts that are common."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import onnxruntime

from ugicm_analyzers.adapters.onnx_layouts import Layout, layout_of
from ugicm_analyzers.adapters.onnx_session import Network
from ugicm_analyzers.detecting import detections
from ugicm_analyzers.labels import (
    BACKGROUND,
    answerable,
    coco_categories,
    coco_labels,
    network_labels,
    specified_labels,
)
from ugicm_analyzers.protocol import AnalyzerInfo, Findings, Pixels, Task
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import version_of

__all__ = ["OnnxDetector"]


class OnnxDetector:
    """A detector whose layout its graph shows; see ``onnx_layouts``.

    Networks that were exported for one picture at a time see one at a time: each finds the same
    alone and in a batch. Others do but for float32's rounding.
    """

    def __init__(self, specification: Specification, network: Network) -> None:
        """Raise ``BadWeights`` where the graph's layout is not known or its labels do not fit."""
        self._layout = layout_of(network)
        self._least_score = specification.least_score
        self._labels = _labels(specification, self._layout)
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.DETECT,
            version=version_of(
                specification,
                onnxruntime,
                cv2,
                weights=network.sha256,
                labels=self._labels,
            ),
            labels=answerable(specification, self._labels),
            minimum_score=self._layout.confident if likely is None else likely,
        )

    def load(self) -> None:
        """See that a picture passes through the network."""
        self.analyze([np.zeros((32, 32, 3), np.uint8)], ())

    def analyze(self, pictures: Sequence[Pixels], labels: Sequence[str]) -> list[Findings]:
        """Return the objects in each picture, at most 100."""
        if not pictures:
            return []
        return [
            detections(
                boxes,
                self._labels,
                answers=self.info.labels,
                least_score=self._least_score,
                picture=picture,
            )
            for boxes, picture in zip(
                self._layout.find(pictures, self._least_score), pictures, strict=True
            )
        ]


def _labels(specification: Specification, layout: Layout) -> tuple[str, ...]:
    if layout.classes is not None:
        return network_labels(specification, layout.classes, own=layout.own_labels)
    given = specified_labels(specification) or layout.own_labels
    if layout.background_first:
        return (BACKGROUND, *given) if given else coco_categories()
    return given or coco_labels()
