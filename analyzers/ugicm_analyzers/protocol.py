"""What every analyzer is, and what it finds."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Analyzer",
    "AnalyzerInfo",
    "Box",
    "Classification",
    "Detection",
    "Findings",
    "Mask",
    "Pixels",
    "Segment",
    "Task",
]


# (H, W, 3), RGB.
Pixels: TypeAlias = NDArray[np.uint8]


class Task(enum.Enum):
    """What an analyzer does."""

    DETECT = "detect"
    CLASSIFY = "classify"
    SEGMENT = "segment"


@dataclass(frozen=True, kw_only=True)
class AnalyzerInfo:
    """What an analyzer says of itself.

    Attributes:
        name: what to ask for it by.
        task: what it does.
        version: changes whenever the same pixels may give other findings.
        labels: every label it can answer with; empty if the caller brings them.
        needs_labels: whether the caller must bring labels.
        minimum_score: leaves out less likely findings where the caller names no minimum.
    """

    name: str
    task: Task
    version: str
    labels: tuple[str, ...]
    needs_labels: bool = False
    minimum_score: float = 0.5


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; (0, 0) is the picture's upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Mask:
    """Pixels of a whole picture, as COCO's uncompressed run lengths.

    Attributes:
        runs: lengths of runs outside, inside, outside and so on, down the columns from left to
            right; the first may be 0, and together they make up the picture.
    """

    runs: tuple[int, ...]


@dataclass(frozen=True)
class Detection:
    """An object; its score is from 0 to 1."""

    label: str
    score: float
    box: Box
    mask: Mask | None = None


@dataclass(frozen=True)
class Classification:
    """What the whole picture shows; its score is from 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Segment:
    """Every pixel of one label."""

    label: str
    mask: Mask


@dataclass(frozen=True)
class Findings:
    """What one analyzer finds in one picture, in any order and of any score."""

    detections: tuple[Detection, ...] = ()
    classifications: tuple[Classification, ...] = ()
    segments: tuple[Segment, ...] = ()


class Analyzer(Protocol):
    """Finds things in pictures; any thread may call it, several at once."""

    @property
    def info(self) -> AnalyzerInfo:
        """What it is."""
        ...

    def load(self) -> None:
        """Get ready; called once, before ``analyze``.

        Raises:
            AnalyzerUnavailable: what it is made of is missing here.
        """
        ...

    def analyze(self, pictures: Sequence[Pixels], labels: Sequence[str]) -> list[Findings]:
        """Return what is in each picture: equal pixels give equal findings.

        Args:
            pictures: each ``(H, W, 3)``, RGB; sizes may differ.
            labels: what to tell apart; empty unless ``info.needs_labels``.
        """
        ...
