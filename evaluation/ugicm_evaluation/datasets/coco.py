"""Photographs with COCO annotations."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from pycocotools.coco import COCO

from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["CocoPictures"]


class CocoPictures:
    """Photographs and a file of annotations.

    Attributes:
        truth: the annotations.
        image_ids: COCO's number of each sample's key.
        categories: COCO's number of each category's name.
    """

    def __init__(self, images: Path, annotations: Path, *, name: str) -> None:
        """Raise ``BadDataset`` where the annotations are missing or are none."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
                self.truth = COCO(str(annotations))
            entries = sorted(self.truth.imgs.values(), key=lambda image: image["file_name"])
            self.image_ids: dict[str, int] = {image["file_name"]: image["id"] for image in entries}
            self.categories: dict[str, int] = {
                category.get("name", str(number)): number
                for number, category in self.truth.cats.items()
            }
        # pycocotools checks little: a missing key or another type surfaces as these.
        except (AttributeError, OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise BadDataset(f"{annotations} holds no COCO annotations: {error}") from error
        if not entries:
            raise BadDataset(f"{annotations} names no images")
        self.name = name
        self.samples = [Sample(key, images / key) for key in self.image_ids]
