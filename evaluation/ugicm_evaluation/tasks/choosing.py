"""Chooses what a judge can be asked on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ugicm_evaluation.config import ClassFolders, DatasetConfig
from ugicm_evaluation.datasets.opening import open_dataset
from ugicm_evaluation.datasets.protocol import (
    AnnotatedDataset,
    ClassifiedDataset,
    LabelMapDataset,
)
from ugicm_evaluation.datasets.voc import VOC_NAMES_OF_COCO
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.judges.analyzer import AnalyzerJudge, Answer
from ugicm_evaluation.judges.protocol import Judge
from ugicm_evaluation.metrics.detection import Overlap
from ugicm_evaluation.tasks.classification import Classification
from ugicm_evaluation.tasks.detection import Detection
from ugicm_evaluation.tasks.protocol import Task
from ugicm_evaluation.tasks.segmentation import Segmentation
from ugicm_evaluation.tasks.similarity import Similarity

__all__ = ["choose_task", "numbers_of"]


def choose_task(key: str, judge: Judge, config: DatasetConfig) -> Task:
    """Return a task: against the truth where the data set has it, else against itself.

    Args:
        key: of the judge.
        judge: that looks.
        config: of the data set.

    Raises:
        BadJudge: the judge and the data set have no label in common.
    """
    if not isinstance(judge, AnalyzerJudge):
        return Similarity(key)
    dataset = open_dataset(config)
    match judge.answer:
        case Answer.CLASSES:
            classes = dataset.classes if isinstance(dataset, ClassifiedDataset) else None
            if isinstance(config, ClassFolders) and config.classes is None:
                _check_folders(key, judge, config, set((classes or {}).values()))
            if classes is not None and max(classes.values()) >= len(judge.labels):
                raise BadJudge(
                    f"{config.name} has class {max(classes.values())}, "
                    f"and {key} tells {len(judge.labels)} apart"
                )
            return Classification(key, classes)
        case Answer.LABEL_MAP:
            if not isinstance(dataset, LabelMapDataset):
                return Segmentation(key, len(judge.labels))
            known = {label: number for number, label in enumerate(dataset.labels)}
            numbers = numbers_of(judge.labels, known)
            # What the data set has no label for, it calls background.
            return Segmentation(
                key, len(judge.labels), config, tuple(max(number, 0) for number in numbers)
            )
        case _:
            overlap = Overlap.MASKS if judge.answer is Answer.MASKS else Overlap.BOXES
            if not isinstance(dataset, AnnotatedDataset):
                return Detection(key, None, judge.confident, overlap=overlap)
            numbers = numbers_of(judge.labels, dataset.categories)
            if max(numbers) < 0:
                raise BadJudge(f"{key} and {config.name} have no category in common")
            return Detection(key, config, judge.confident, numbers, overlap)


def _check_folders(key: str, judge: AnalyzerJudge, config: ClassFolders, classes: set[int]) -> None:
    """Refuse to number a part of the classes by their order among themselves."""
    if len(classes) != len(judge.labels):
        raise BadJudge(
            f"{config.name} has folders of {len(classes)} classes, and {key} tells "
            f"{len(judge.labels)} apart: name a file of all as `classes`"
        )


def numbers_of(labels: Sequence[str], known: Mapping[str, int]) -> tuple[int, ...]:
    """Return a data set's number of each of a network's labels; -1 where it has none."""
    return tuple(
        known.get(label, known.get(VOC_NAMES_OF_COCO.get(label, label), -1)) for label in labels
    )
