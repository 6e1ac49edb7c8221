"""What a dataset is: pictures by key, and what is true of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ugicm_evaluation.errors import BadPicture

__all__ = ["Dataset", "Picture", "Sample", "read_picture"]

# (H, W, 3), RGB.
Picture = NDArray[np.uint8]


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
