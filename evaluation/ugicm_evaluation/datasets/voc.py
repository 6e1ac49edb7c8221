"""PASCAL VOC: photographs with boxes or with label maps (Everingham et al., IJCV 2010)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from ugicm_evaluation.datasets.protocol import VOID, Sample
from ugicm_evaluation.errors import BadDataset, BadPicture

__all__ = ["VOC_LABELS", "VOC_NAMES_OF_COCO", "VocLabelMaps", "VocObjects"]

VOC_LABELS = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

# What COCO, and models trained on it, call the classes that both have and VOC calls otherwise.
VOC_NAMES_OF_COCO: Mapping[str, str] = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}


class VocObjects:
    """Pictures with boxes of 20 classes.

    Objects marked ``difficult`` count neither for nor against a detector: they are COCO's crowds.

    Attributes:
        truth: the objects, in COCO's form; boxes lose the pixel by which VOC counts from 1.
        image_ids: number of each sample's key.
        categories: 1 to 20, by VOC's name.
    """

    categories: Mapping[str, int] = {name: n for n, name in enumerate(VOC_LABELS) if n}

    def __init__(self, folder: Path, split: str, *, name: str) -> None:
        """Read the split's annotations; raise ``BadDataset`` where there is no such list."""
        keys = _read_split(folder / "ImageSets" / "Main" / f"{split}.txt")
        self.name = name
        self.samples = [Sample(key, folder / "JPEGImages" / f"{key}.jpg") for key in keys]
        self.image_ids = {key: number for number, key in enumerate(keys, 1)}
        objects: list[dict[str, Any]] = []
        self._unusable: dict[str, str] = {}
        for key, number in self.image_ids.items():
            try:
                found = self._objects(folder / "Annotations" / f"{key}.xml")
            except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
                self._unusable[key] = f"{key}.xml holds no VOC annotation: {error}"
            else:
                objects += [{**one, "image_id": number} for one in found]
        for number, one in enumerate(objects, 1):
            one["id"] = number
        self.truth = COCO()
        self.truth.dataset = {
            "images": [{"id": number} for number in self.image_ids.values()],
            "annotations": objects,
            "categories": [{"id": n, "name": name} for name, n in self.categories.items()],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
            self.truth.createIndex()

    def unusable(self) -> Mapping[str, str]:
        return self._unusable

    def _objects(self, path: Path) -> list[dict[str, Any]]:
        root = ElementTree.parse(path).getroot()
        return [self._object(one) for one in root.iter("object")]

    def _object(self, element: ElementTree.Element) -> dict[str, Any]:
        corners = ("xmin", "ymin", "xmax", "ymax")
        left, top, right, bottom = (float(_text(element, f"bndbox/{one}")) for one in corners)
        size = (right - left + 1, bottom - top + 1)
        return {
            "category_id": self.categories[_text(element, "name")],
            "bbox": [left - 1, top - 1, *size],
            "area": size[0] * size[1],
            "iscrowd": int(element.findtext("difficult", "0").strip() or 0),
        }


class VocLabelMaps:
    """Pictures with a map of 21 labels, the background among them.

    Attributes:
        labels: names by number.
    """

    labels: Sequence[str] = VOC_LABELS

    def __init__(self, folder: Path, split: str, *, name: str) -> None:
        """Raise ``BadDataset`` where the list is missing or is empty."""
        keys = _read_split(folder / "ImageSets" / "Segmentation" / f"{split}.txt")
        self.name = name
        self.samples = [Sample(key, folder / "JPEGImages" / f"{key}.jpg") for key in keys]
        self._maps = folder / "SegmentationClass"

    def unusable(self) -> Mapping[str, str]:
        found = {}
        for sample in self.samples:
            try:
                self.label_map(sample.key)
            except BadPicture as error:
                found[sample.key] = str(error)
        return found

    def label_map(self, key: str) -> NDArray[np.uint8]:
        path = self._maps / f"{key}.png"
        try:
            with Image.open(path) as image:
                labels = np.array(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise BadPicture(f"{path.name} holds no label map: {error}") from error
        if labels.ndim != 2 or np.any((labels >= len(VOC_LABELS)) & (labels != VOID)):
            raise BadPicture(
                f"{path.name}: labels are 0 to {len(VOC_LABELS) - 1}, or {VOID} for none"
            )
        return labels.astype(np.uint8)


def _read_split(path: Path) -> list[str]:
    try:
        # Main's lists of single classes have a second column.
        keys = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadDataset(f"{path} holds no list of pictures: {error}") from error
    if not keys:
        raise BadDataset(f"{path} names no pictures")
    return keys


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"an object without {path}")
    return text.strip()
