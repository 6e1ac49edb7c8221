"""What a task is: a judge, and metrics of its answers over draws of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Better", "Draws", "Metric", "Scores", "Task"]

# A judge's arrays, one for each picture.
Answers = Sequence[NDArray[Any]]

# (D, pictures), how often each draw holds each picture.
Draws = NDArray[np.int64]

# (metrics, D).
Scores = NDArray[np.float64]


class Better(Enum):
    """Which way a metric should go."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Metric:
    """A figure that a task computes.

    Attributes:
        name: what reports call it.
        unit: of the figure, ``%`` or another.
        better: which way it should go.
    """

    name: str
    unit: str
    better: Better = Better.HIGHER


class Task(Protocol):
    """A judge's task on a dataset; the first metric is the one that plots show."""

    @property
    def judge(self) -> str: ...

    @property
    def metrics(self) -> Sequence[Metric]: ...

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        """Return every metric of every draw.

        Args:
            keys: of the pictures.
            answers: to the coded pictures.
            originals: to the uncompressed ones.
            draws: of the pictures.
        """
        ...
