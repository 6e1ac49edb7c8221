"""Labelling every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.config import DatasetConfig
from ugicm_evaluation.datasets.opening import open_dataset
from ugicm_evaluation.datasets.protocol import VOID, LabelMapDataset
from ugicm_evaluation.metrics.segmentation import confusion, mean_intersection_over_union
from ugicm_evaluation.tasks.protocol import Answers, Draws, Metric, Role, Scores

__all__ = ["Segmentation"]

LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Segmentation:
    """Score a segmenter that answers with label maps.

    Attributes:
        classes: how many labels it has.
        truth: the data set with label maps; None to compare with its map of the original alone.
        numbers: the data set's number of each of the segmenter's labels; None where they are the
            same.
    """

    judge: str
    classes: int
    truth: DatasetConfig | None = None
    numbers: tuple[int, ...] | None = None

    @property
    def metrics(self) -> Sequence[Metric]:
        agreement = Metric("agreement mIoU", "%", Role.LEADING)
        return (agreement,) if self.truth is None else (agreement, Metric("mIoU", "%", Role.ASKED))

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        own = [
            confusion(found, original, classes=self.classes)
            for found, original in zip(answers, originals, strict=True)
        ]
        rows = [mean_intersection_over_union(np.stack(own), draws)]
        if self.truth is not None:
            dataset = open_dataset(self.truth)
            assert isinstance(dataset, LabelMapDataset)
            numbers = np.array(self.numbers or range(self.classes), np.uint8)
            tables = [
                confusion(
                    *_counted(numbers[found], dataset.label_map(key)), classes=len(dataset.labels)
                )
                for key, found in zip(keys, answers, strict=True)
            ]
            rows.append(mean_intersection_over_union(np.stack(tables), draws))
        return 100.0 * np.stack(rows)


def _counted(found: LabelMap, truth: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Return both maps' pixels that count; the map that was found is stretched to the truth."""
    if found.shape != truth.shape:
        rows, columns = (
            ((np.arange(size) + 0.5) * mine / size).astype(np.int64)
            for size, mine in zip(truth.shape, found.shape, strict=True)
        )
        found = found[rows[:, None], columns[None]]
    counted = truth != VOID
    return found[counted], truth[counted]
