"""Finding objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.config import DatasetConfig
from ugicm_evaluation.datasets.opening import open_dataset
from ugicm_evaluation.datasets.protocol import AnnotatedDataset
from ugicm_evaluation.metrics.detection import (
    Overlap,
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

_PREFIXES = {Overlap.BOXES: "", Overlap.MASKS: "mask "}


@dataclass(frozen=True)
class Detection:
    """Score a detector that answers with rows of boxes, or with instances.

    Its agreement with itself takes its confident detections on the uncompressed picture for the
    truth, and pools the categories: those of a few objects would otherwise outweigh all others.

    Attributes:
        truth: the data set with the objects; None where they are not known.
        confident: the score from which a detection on the uncompressed picture counts as an object.
        numbers: the data set's number of each of the detector's, -1 where the data set has no
            such category; None where they are the same.
        overlap: what of two objects has to overlap.
    """

    judge: str
    truth: DatasetConfig | None
    confident: float
    numbers: tuple[int, ...] | None = None
    overlap: Overlap = Overlap.BOXES

    @property
    def metrics(self) -> Sequence[Metric]:
        prefix = _PREFIXES[self.overlap]
        agreement = (
            Metric(f"agreement {prefix}AP@50", "%", Role.LEADING),
            Metric(f"agreement {prefix}AP@[.5:.95]", "%"),
        )
        if self.truth is None:
            return agreement
        return (
            *agreement,
            Metric(f"{prefix}mAP@50", "%", Role.ASKED),
            Metric(f"{prefix}mAP@[.5:.95]", "%"),
        )

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        found, original = dict(enumerate(answers)), dict(enumerate(originals))
        own = truth_from_detections(original, least_score=self.confident)
        categories = match(own, found, thresholds=_THRESHOLDS, overlap=self.overlap)
        pooled = pool(categories, thresholds=len(_THRESHOLDS), pictures=len(keys))
        agreement = average_precision(pooled, draws)
        rows = [agreement[0], agreement.mean(0)]
        if self.truth is not None:
            dataset = open_dataset(self.truth)
            assert isinstance(dataset, AnnotatedDataset)
            numbered = {
                dataset.image_ids[key]: self._numbered(rows)
                for key, rows in zip(keys, answers, strict=True)
            }
            matches = match(dataset.truth, numbered, thresholds=_THRESHOLDS, overlap=self.overlap)
            precision = mean_average_precision(matches, draws)
            rows += [precision[0], precision.mean(0)]
        scores: Scores = 100.0 * np.stack(rows)
        return scores

    def _numbered(self, found: NDArray[Any]) -> NDArray[Any]:
        """Return what the data set has a category for, under its number of it."""
        if self.numbers is None:
            return found
        table, numbered = np.array(self.numbers), found.copy()
        if found.dtype.names is not None:
            numbered["category"] = table[found["category"]]
            return numbered[numbered["category"] >= 0]
        numbered[:, 5] = table[found[:, 5].astype(np.int64)]
        return numbered[numbered[:, 5] >= 0]
