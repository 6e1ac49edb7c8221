"""Finding objects."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugicm_evaluation.datasets.coco import CocoFolder
from ugicm_evaluation.metrics.detection import (
    average_precision,
    match,
    mean_average_precision,
    pool,
    truth_from_detections,
)
from ugicm_evaluation.tasks.protocol import Answers, Draws, Metric, Role, Scores

__all__ = ["Detection"]

# COCO's ten, of which the first is the 50 of AP@50.
_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


@dataclass(frozen=True)
class Detection:
    """Score a detector that answers with the rows of ``judges.detections``.

    Its agreement with itself takes its confident detections on the uncompressed picture for the
    truth, and pools the categories: those of a few objects would otherwise outweigh all others.

    Attributes:
        folder: of the COCO dataset.
        confident: the score from which a detection on the uncompressed picture counts as an object.
    """

    judge: str
    folder: Path
    confident: float
    metrics = (
        Metric("agreement AP@50", "%", Role.LEADING),
        Metric("agreement AP@[.5:.95]", "%"),
        Metric("mAP@50", "%", Role.ASKED),
        Metric("mAP@[.5:.95]", "%"),
    )

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        dataset = _dataset(self.folder)
        numbers = [dataset.image_ids[key] for key in keys]
        found = dict(zip(numbers, answers, strict=True))
        original = dict(zip(numbers, originals, strict=True))
        own = truth_from_detections(original, least_score=self.confident)
        categories = match(own, found, thresholds=_THRESHOLDS)
        pooled = pool(categories, thresholds=len(_THRESHOLDS), pictures=len(keys))
        agreement = average_precision(pooled, draws)
        precision = mean_average_precision(
            match(dataset.truth, found, thresholds=_THRESHOLDS), draws
        )
        rows = [agreement[0], agreement.mean(0), precision[0], precision.mean(0)]
        scores: Scores = 100.0 * np.stack(rows)
        return scores


@functools.cache  # one process scores many codings of the same pictures
def _dataset(folder: Path) -> CocoFolder:
    return CocoFolder(folder)
