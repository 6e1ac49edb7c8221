"""What detectors have in common: rows of boxes, scores and classes become detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.errors import BadWeights
from ugicm_analyzers.masks import mask_from_pixels
from ugicm_analyzers.protocol import Box, Detection, Findings, Pixels

__all__ = ["MOST", "Boxes", "detections", "same_sizes", "suppress"]

# As many as COCO's evaluation looks at.
MOST = 100


@dataclass(frozen=True)
class Boxes:
    """What a network says of one picture, in any order.

    Attributes:
        corners: ``(N, 4)``, left, top, right and bottom, in the picture's pixels.
        scores: ``(N,)``, from 0 to 1.
        classes: ``(N,)``, indexes into the labels.
        masks: ``(N, H, W)`` of the picture's size, if the network knows them.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: NDArray[np.bool_] | None = None

    def take(self, rows: NDArray[np.int64]) -> Boxes:
        """Return some of them, in the order of ``rows``."""
        masks = None if self.masks is None else self.masks[rows]
        return Boxes(self.corners[rows], self.scores[rows], self.classes[rows], masks)


def detections(
    boxes: Boxes,
    labels: Sequence[str],
    *,
    answers: Sequence[str],
    least_score: float,
    picture: Pixels,
) -> Findings:
    """Return at most 100 detections, the highest score first, inside the picture.

    Args:
        boxes: what the network says.
        labels: of its classes.
        answers: the labels that findings may have.
        least_score: what scores less is left out.
        picture: whose size limits the boxes.

    Raises:
        BadWeights: the network answers with a class that has no label.
    """
    if boxes.classes.size and not 0 <= boxes.classes.min() <= boxes.classes.max() < len(labels):
        raise BadWeights(
            f"the network answers with the classes {boxes.classes.min()} to "
            f"{boxes.classes.max()}, and there are {len(labels)} labels"
        )
    wanted = np.isin(boxes.classes, [labels.index(label) for label in answers])
    rows = np.flatnonzero(wanted & (boxes.scores >= least_score))
    best = boxes.take(rows[np.argsort(-boxes.scores[rows], kind="stable")][:MOST])
    height, width = picture.shape[:2]
    corners = best.corners.astype(np.float64).clip(0, [width, height, width, height])
    return Findings(
        detections=tuple(
            Detection(
                label=labels[number],
                score=float(best.scores[row]),
                box=Box(*corners[row].tolist()),
                mask=None if best.masks is None else mask_from_pixels(best.masks[row]),
            )
            for row, number in enumerate(best.classes.tolist())
        )
    )


def suppress(boxes: Boxes, *, overlap: float) -> Boxes:
    """Return the best box of every object (non-maximum suppression).

    Args:
        boxes: without masks.
        overlap: of two boxes of one class whose intersection over union is larger, the better
            stays.
    """
    sizes = boxes.corners[:, 2:] - boxes.corners[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        np.concatenate([boxes.corners[:, :2], sizes], 1).tolist(),
        boxes.scores.tolist(),
        boxes.classes.tolist(),
        0.0,
        overlap,
    )
    return boxes.take(np.array(kept, np.int64))


def same_sizes(pictures: Sequence[Pixels]) -> list[list[int]]:
    """Return the indexes of pictures in groups of one size each.

    Libraries pad a batch to its largest picture, and what surrounds a picture changes what they
    find in it: batches of one size need no padding.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(picture.shape, []).append(index)
    return list(groups.values())
