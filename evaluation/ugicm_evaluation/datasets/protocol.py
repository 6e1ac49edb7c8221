"""What a dataset is: pictures by key, and what is true of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from ugicm_evaluation.errors import BadPicture

__all__ = [
    "VOID",
    "AnnotatedDataset",
    "ClassifiedDataset",
    "Dataset",
    "LabelMapDataset",
    "PartlyUsable",
    "Picture",
    "Sample",
    "read_picture",
]

# (H, W, 3), RGB.
Picture = NDArray[np.uint8]

# In a label map, a pixel that is not to be counted.
VOID = 255


@dataclass(frozen=True)
class Sample:
    """One picture of a dataset.

    Attributes:
        key: unique in its dataset; what reports call the picture.
        path: of the picture's file.
    """

    key: str
    path: Path


class Dataset(Protocol):
    """Pictures in a fixed order."""

    @property
    def name(self) -> str: ...

    @property
    def samples(self) -> Sequence[Sample]: ...


@runtime_checkable
class PartlyUsable(Dataset, Protocol):
    """Pictures of some of which it may not be known what is true."""

    def unusable(self) -> Mapping[str, str]:
        """Return the reason in one line, by key; the other pictures can be used."""
        ...


@runtime_checkable
class ClassifiedDataset(Dataset, Protocol):
    """Pictures of one class each: its index, by key."""

    @property
    def classes(self) -> Mapping[str, int]: ...


@runtime_checkable
class AnnotatedDataset(Dataset, Protocol):
    """Pictures with objects.

    Attributes:
        truth: the objects, in COCO's form.
        image_ids: COCO's number of each picture, by key.
        categories: COCO's number of each category, by name.
    """

    @property
    def truth(self) -> COCO: ...

    @property
    def image_ids(self) -> Mapping[str, int]: ...

    @property
    def categories(self) -> Mapping[str, int]: ...


@runtime_checkable
class LabelMapDataset(Dataset, Protocol):
    """Pictures of which every pixel has a label.

    Attributes:
        labels: names in the order of their numbers; the first is the background.
    """

    @property
    def labels(self) -> Sequence[str]: ...

    def label_map(self, key: str) -> NDArray[np.uint8]:
        """Return ``(H, W)``; ``VOID`` where a pixel is not to be counted.

        Raises:
            BadPicture: the map is missing, or is none.
        """
        ...


def read_picture(path: Path, *, longest_side: int | None = None) -> Picture:
    """Return a file's picture as RGB.

    Args:
        longest_side: larger pictures are reduced to it (Lanczos), keeping their proportions.

    Raises:
        BadPicture: the file is no picture that Pillow reads whole.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    # What Pillow's readers raise: OSError where a file is truncated, the others where it lies.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPicture(f"{path.name}: {error}") from error
    if longest_side is not None and max(picture.size) > longest_side:
        picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return np.array(picture)
