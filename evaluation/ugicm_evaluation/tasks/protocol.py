"""What a task is: a judge, and metrics of its answers over draws of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Better", "Draws", "MeanTask", "Metric", "Role", "Scores", "Task"]

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


class Role(Enum):
    """How much a report makes of a metric."""

    LEADING = "leading"  # drawn, and a model is asked to gain in it
    ASKED = "asked"  # a model is asked to gain in it
    DETAIL = "detail"


@dataclass(frozen=True)
class Metric:
    """A figure that a task computes.

    Attributes:
        name: what reports call it.
        unit: of the figure, ``%`` or another.
        role: what reports say of it beyond its value.
        better: which way it should go.
    """

    name: str
    unit: str
    role: Role = Role.DETAIL
    better: Better = Better.HIGHER


class Task(Protocol):
    """A judge's task on a dataset."""

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


@runtime_checkable
class MeanTask(Task, Protocol):
    """A task whose metrics are means over pictures."""

    def pictures(self, keys: Sequence[str], answers: Answers, originals: Answers) -> Scores:
        """Return ``(metrics, pictures)``, every metric of every picture."""
        ...
