"""What every classifier has in common: probabilities become findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.protocol import AnalyzerInfo, Classification, Findings, Pixels
from ugicm_analyzers.specification import Preprocessing

if TYPE_CHECKING:  # open_clip and torchvision bring it; a Classifier can do without
    from torch import Tensor

__all__ = ["LIKELY", "Classifier", "transforms"]

# The probability from which a label among many is worth showing.
LIKELY = 0.1


class Classifier(ABC):
    """Gives each of its labels a probability.

    Attributes:
        info: what it is.
        classes: the network's classes in their order; empty if callers bring the labels.
    """

    info: AnalyzerInfo
    classes: tuple[str, ...]

    @abstractmethod
    def log_probabilities(
        self, pictures: Sequence[Pixels], labels: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """Return ``(pictures, classes)``, natural logarithms; of ``labels`` if they are brought."""

    def load(self) -> None:
        """See that a picture passes through the network, so that the first caller need not wait."""
        labels = ("something",) if self.info.needs_labels else ()
        self.analyze([np.zeros((32, 32, 3), np.uint8)], labels)

    def analyze(self, pictures: Sequence[Pixels], labels: Sequence[str]) -> list[Findings]:
        """Return every label with its probability, the likeliest first."""
        if not pictures:
            return []
        classes = self.classes or tuple(labels)
        answers = set(self.info.labels or labels)
        return [
            Findings(
                classifications=tuple(
                    Classification(classes[index], float(row[index]))
                    for index in np.argsort(-row, kind="stable")
                    if classes[index] in answers
                )
            )
            for row in np.exp(self.log_probabilities(pictures, labels))
        ]


def transforms(preprocessing: Preprocessing) -> Callable[[Tensor], Tensor]:
    """Return what turns uint8 pictures ``(3, H, W)`` into a network's float32 input."""
    import torchvision_cpu

    torchvision_cpu.ensure()
    from torchvision.transforms._presets import ImageClassification

    made: Callable[[Tensor], Tensor] = ImageClassification(
        crop_size=preprocessing.crop,
        resize_size=preprocessing.resize,
        mean=preprocessing.mean,
        std=preprocessing.deviation,
    )
    return made
