"""What a benchmark is: a data set, who looks at it, and the files that both need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ugicm_evaluation.config import DatasetConfig, JudgeConfig, Lpips

__all__ = ["Benchmark", "Goal", "Need", "Setting"]


class Setting(Enum):
    """Whose data and judges."""

    # The paper's own: ImageNet, PASCAL VOC, COCO's val2017 and Kodak's pictures.
    PAPER = "paper"
    # A folder as ``ugicm-evaluate report`` reads it, with small judges.
    SMALL = "small"


class Goal(Enum):
    """What pictures are decoded for; the toy study has pictures of its own."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    INSTANCES = "instance-segmentation"
    SEMANTICS = "semantic-segmentation"
    PERCEPTION = "perception"
    TOY_DETECTION = "toy-detection"
    TOY_SEMANTICS = "toy-semantic-segmentation"


@dataclass(frozen=True)
class Need:
    """A file or folder.

    Attributes:
        what: it holds.
        path: where it is expected.
        source: where it is to be had.
    """

    what: str
    path: Path
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A data set and who looks at it; functions take the folder that holds everything.

    Attributes:
        about: pictures, judge and figure, in one line.
        needs: files and folders.
        dataset: the pictures, with the judges' names in it.
        judges: that look.
        lpips: where the data set asks for it.
    """

    about: str
    needs: Callable[[Path], tuple[Need, ...]]
    dataset: Callable[[Path], DatasetConfig]
    judges: Callable[[Path], tuple[JudgeConfig, ...]] = lambda data: ()
    lpips: Callable[[Path], Lpips | None] = lambda data: None
