"""What finds the instances of a picture, whatever it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Masks", "Picture", "Segmenter"]

Picture = NDArray[np.uint8]
"""``(H, W, 3)``, RGB."""

Masks = NDArray[np.bool_]
"""``(K, H, W)``, one plane for each instance."""


class Segmenter(Protocol):
    """Finds instances without labels.

    Attributes:
        description: what it is and how it is set, in one line; kept with the masks it makes, so
            that nobody mixes those of two segmenters.
    """

    @property
    def description(self) -> str: ...

    def segment(self, name: str, picture: Picture) -> Masks:
        """Return masks over the whole picture, the best first; there may be none.

        Args:
            name: of the picture in its set; only masks made elsewhere are looked up by it.
            picture: as it is decoded.

        Raises:
            BadMasks: masks made elsewhere do not fit this picture.
        """
        ...
