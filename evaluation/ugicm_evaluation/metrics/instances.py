"""The array in which masks of objects are kept, one row for each object.

Its fields: ``box`` (x1, y1, x2, y2 in pixels), ``score``, ``category``, ``size`` (height and width
of the picture) and ``counts``, COCO's compressed run lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

__all__ = ["Instances", "boxes_of", "instances", "masks_of"]

Instances = NDArray[np.void]


def instances(
    rows: NDArray[np.float32], runs: Sequence[Sequence[int]], *, height: int, width: int
) -> Instances:
    """Return an array of objects.

    Args:
        rows: ``(n, 6)``: x1, y1, x2, y2, score, category.
        runs: COCO's uncompressed run lengths of each mask.
        height: of the picture.
        width: of the picture.
    """
    counts = [
        coco_masks.frPyObjects({"size": [height, width], "counts": list(one)}, height, width)[
            "counts"
        ]
        for one in runs
    ]
    longest = max((len(one) for one in counts), default=1)
    kind = [
        ("box", np.float32, 4),
        ("score", np.float32),
        ("category", np.int32),
        ("size", np.int32, 2),
        ("counts", f"S{longest}"),
    ]
    found = np.zeros(len(rows), kind)
    found["box"], found["score"], found["category"] = rows[:, :4], rows[:, 4], rows[:, 5]
    found["size"] = (height, width)
    found["counts"] = counts
    return found


def boxes_of(found: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``(n, 6)`` rows of x1, y1, x2, y2, score, category, whichever of both it is."""
    if found.dtype.names is None:
        return found.astype(np.float64)
    columns = [found["box"], found["score"][:, None], found["category"][:, None]]
    rows: NDArray[np.float64] = np.concatenate(columns, 1).astype(np.float64)
    return rows


def masks_of(found: Instances) -> list[dict[str, Any]]:
    """Return COCO's run lengths of each object."""
    return [
        {"size": size.tolist(), "counts": bytes(counts)}
        for size, counts in zip(found["size"], found["counts"], strict=True)
    ]
