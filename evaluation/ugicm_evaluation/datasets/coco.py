"""Photographs with COCO annotations."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from pycocotools.coco import COCO

from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["CocoFolder"]


class CocoFolder:
    """A folder with ``images/`` and ``instances.json`` in COCO's format.

    Attributes:
        truth: the annotations.
        image_ids: COCO's number of each sample's key.
    """

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        """Raise ``BadDataset`` where the annotations are missing or are none."""
        path = folder / "instances.json"
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
                self.truth = COCO(str(path))
            images = sorted(self.truth.imgs.values(), key=lambda image: image["file_name"])
            self.image_ids: dict[str, int] = {image["file_name"]: image["id"] for image in images}
        # pycocotools checks little: a missing key or another type surfaces as these.
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise BadDataset(f"{path} holds no COCO annotations: {error}") from error
        if not images:
            raise BadDataset(f"{path} names no images")
        self.name = name or folder.name
        self.samples = [Sample(key, folder / "images" / key) for key in self.image_ids]
