"""Labelling every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ugicm_evaluation.metrics.segmentation import confusion, mean_intersection_over_union
from ugicm_evaluation.tasks.protocol import Answers, Draws, Metric, Role, Scores

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation:
    """Score a segmenter that answers with label maps, against its map of the original."""

    judge: str
    classes: int
    metrics = (Metric("agreement mIoU", "%", Role.LEADING),)

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        confusions = [
            confusion(found, original, classes=self.classes)
            for found, original in zip(answers, originals, strict=True)
        ]
        return 100.0 * mean_intersection_over_union(np.stack(confusions), draws)[None]
