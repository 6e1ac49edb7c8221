"""Photographs of one ImageNet class each."""

from __future__ import annotations

import json
from pathlib import Path

from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["LabelledFolder"]

_CLASSES = 1000


class LabelledFolder:
    """A folder with ``labels.json``, an object from file name to class index, 0 to 999.

    Attributes:
        classes: class index of each sample's key.
    """

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        """Raise ``BadDataset`` where the labels are missing or are no labels."""
        path = folder / "labels.json"
        try:
            labels = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BadDataset(f"{path} holds no labels: {error}") from error
        if not isinstance(labels, dict) or not labels:
            raise BadDataset(f"{path} holds no object from file name to class index")
        wrong = [key for key, label in labels.items() if label not in range(_CLASSES)]
        if wrong:
            raise BadDataset(
                f"{path}: a class index is an integer from 0 to {_CLASSES - 1}, "
                f"got {labels[wrong[0]]!r} for {wrong[0]}"
            )
        self.name = name or folder.name
        self.classes: dict[str, int] = labels
        self.samples = [Sample(key, folder / key) for key in sorted(labels)]
