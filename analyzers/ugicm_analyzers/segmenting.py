"""What every segmenter has in common: maps of labels become findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.labels import BACKGROUND
from ugicm_analyzers.masks import mask_from_pixels
from ugicm_analyzers.protocol import AnalyzerInfo, Findings, Pixels, Segment

__all__ = ["LabelMap", "Segmenter", "resize_map"]

# (H, W): at every pixel, the number of a class.
LabelMap = NDArray[np.uint8]


class Segmenter(ABC):
    """Assigns every pixel to a class.

    Attributes:
        info: what it is; its labels leave out the background.
        classes: the network's classes in their order, with the background if it has one.
    """

    info: AnalyzerInfo
    classes: tuple[str, ...]

    @abstractmethod
    def label_maps(self, pictures: Sequence[Pixels]) -> list[LabelMap]:
        """Return the class of every pixel, in each picture's own size."""

    def load(self) -> None:
        """See that a picture passes through the network, so that the first caller need not wait."""
        self.analyze([np.zeros((32, 32, 3), np.uint8)], ())

    def analyze(self, pictures: Sequence[Pixels], labels: Sequence[str]) -> list[Findings]:
        """Return the pixels of every label that a picture shows; the rest is background."""
        return [Findings(segments=self._segments(found)) for found in self.label_maps(pictures)]

    def _segments(self, found: LabelMap) -> tuple[Segment, ...]:
        answers = set(self.info.labels) - {BACKGROUND}
        return tuple(
            Segment(self.classes[number], mask_from_pixels(found == number))
            for number in np.unique(found).tolist()
            if self.classes[number] in answers
        )


def resize_map(found: LabelMap, height: int, width: int) -> LabelMap:
    """Return a map in another size, each pixel with the class of the nearest one."""
    resized = cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.astype(np.uint8, copy=False)
