"""Average precision of detections, for a set of pictures and for draws from it.

pycocotools matches detections with objects; precision is accumulated here, because a bootstrap
needs it for thousands of draws of the same matches. With every picture drawn once, the figures are
pycocotools' own.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import sparse

from ugicm_evaluation.metrics.instances import boxes_of, masks_of

__all__ = [
    "Matches",
    "Overlap",
    "average_precision",
    "match",
    "mean_average_precision",
    "pool",
    "truth_from_detections",
]

_RECALLS = np.linspace(0.0, 1.0, 101)

# So that some ten thousand objects of a category take some ten megabytes.
_DRAWS_AT_ONCE = 128


class Overlap(Enum):
    """What of two objects has to overlap; COCO's names."""

    BOXES = "bbox"
    MASKS = "segm"


@dataclass(frozen=True, eq=False)
class Matches:
    """The detections of one category (or of all, pooled) in a set of pictures, best first.

    Attributes:
        picture: ``(n,)``, position of each detection's picture in the set.
        score: ``(n,)``.
        hit: ``(thresholds, n)``, whether it found an object that no better one found.
        counted: ``(thresholds, n)``, false where it found what COCO says to ignore.
        objects: ``(pictures,)``, how many objects there are to find.
    """

    picture: NDArray[np.int64]
    score: NDArray[np.float64]
    hit: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    objects: NDArray[np.int64]


def truth_from_detections(answers: Mapping[int, NDArray[Any]], *, least_score: float) -> COCO:
    """Return a detector's own confident detections as if they were annotations.

    Args:
        answers: rows of x1, y1, x2, y2, score, category, or instances, of each image id.
        least_score: what scores less is left out.
    """
    annotations = [
        {**one, "id": number, "iscrowd": 0}
        for number, one in enumerate(
            (
                one
                for image_id, found in answers.items()
                for one in _as_annotations(image_id, found)
                if one["score"] >= least_score
            ),
            1,
        )
    ]
    truth = COCO()
    truth.dataset = {
        "images": _images(answers, {}),
        "annotations": annotations,
        "categories": [
            {"id": number} for number in sorted({a["category_id"] for a in annotations})
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def match(
    truth: COCO,
    answers: Mapping[int, NDArray[Any]],
    *,
    thresholds: Sequence[float],
    overlap: Overlap = Overlap.BOXES,
) -> list[Matches]:
    """Match detections with objects, for each category that has any of either.

    Args:
        truth: the objects.
        answers: rows of x1, y1, x2, y2, score, category, or instances, of each image id; the order
            of the keys is that of the pictures.
        thresholds: of the intersection over union from which an object is found.
        overlap: of what; masks need instances.
    """
    positions = {image_id: position for position, image_id in enumerate(answers)}
    categories: dict[int, list[dict[str, Any]]] = {}
    for found in _evaluate(truth, answers, thresholds, overlap):
        categories.setdefault(found["category_id"], []).append(found)
    return [_gather(found, positions, thresholds) for _, found in sorted(categories.items())]


def pool(categories: Sequence[Matches], *, thresholds: int, pictures: int) -> Matches:
    """Return all categories as one: a detection still finds objects of its own category only."""
    none = Matches(
        picture=np.zeros(0, np.int64),
        score=np.zeros(0),
        hit=np.zeros((thresholds, 0), np.bool_),
        counted=np.zeros((thresholds, 0), np.bool_),
        objects=np.zeros(pictures, np.int64),
    )
    parts = [none, *categories]
    score = np.concatenate([part.score for part in parts])
    order = np.argsort(-score, kind="mergesort")
    return Matches(
        picture=np.concatenate([part.picture for part in parts])[order],
        score=score[order],
        hit=np.concatenate([part.hit for part in parts], 1)[:, order],
        counted=np.concatenate([part.counted for part in parts], 1)[:, order],
        objects=np.sum([part.objects for part in parts], axis=0),
    )


def average_precision(matches: Matches, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the area under the precision-recall curve, read at 101 recalls as COCO does.

    Args:
        draws: ``(D, pictures)``, how often each draw holds each picture.

    Returns:
        ``(thresholds, D)``; not a number where a draw holds no object.
    """
    areas = np.full((len(matches.hit), len(draws)), np.nan)
    for start in range(0, len(draws), _DRAWS_AT_ONCE):
        some = slice(start, start + _DRAWS_AT_ONCE)
        areas[:, some] = _areas(matches, draws[some])
    return areas


def _areas(matches: Matches, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    objects = draws @ matches.objects
    areas = np.full((len(matches.hit), len(draws)), np.nan)
    present = objects > 0
    if not present.any():
        return areas
    # Recall and the best precision yet to come change at hits only. How many detections a draw has
    # between one hit and the next is a product with what each picture has there: a sparse table,
    # whose entries are as many as detections, however many pictures there are.
    weights = draws[present].astype(np.float64)
    for area, hit, counted in zip(areas, matches.hit, matches.counted, strict=True):
        picture, found = matches.picture[counted], hit[counted]
        hits = int(found.sum())
        # Detections after the last hit change nothing.
        until = np.cumsum(found) - found
        before = until < hits
        between = sparse.csr_array(
            (np.ones(int(before.sum())), (picture[before], until[before])),
            shape=(draws.shape[1], hits),
        )
        every = np.cumsum(weights @ between, axis=1)
        true = np.cumsum(weights[:, picture[found]], axis=1)
        precision = true / np.maximum(every, 1.0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # How many of COCO's recalls lie between one hit and the next.
        recall = true / objects[present, None]
        reached = np.searchsorted(_RECALLS, recall, side="right")
        area[present] = (np.diff(reached, axis=1, prepend=0) * envelope).sum(1) / len(_RECALLS)
    return areas


def mean_average_precision(
    categories: Sequence[Matches], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return ``(thresholds, D)``: the mean over the categories of which a draw holds objects."""
    areas = np.stack([average_precision(one, draws) for one in categories])
    present = ~np.isnan(areas)
    mean: NDArray[np.float64] = np.where(present, areas, 0.0).sum(0) / np.maximum(present.sum(0), 1)
    return mean


def _as_annotations(image_id: int, found: NDArray[Any]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": int(category),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "score": score,
        }
        for x1, y1, x2, y2, score, category in boxes_of(found).tolist()
    ]
    if found.dtype.names is not None:
        for one, mask in zip(annotations, masks_of(found), strict=True):
            one["segmentation"], one["area"] = mask, float(coco_masks.area(mask))
    return annotations


def _images(
    answers: Mapping[int, NDArray[Any]], known: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return COCO's entries of pictures, with the size, which masks need, where it is known."""
    images = []
    for image_id, found in answers.items():
        size = {}
        if found.dtype.names is not None and len(found):
            size = dict(zip(("height", "width"), found["size"][0].tolist(), strict=True))
        images.append({**known.get(image_id, {}), **size, "id": image_id})
    return images


def _evaluate(
    truth: COCO,
    answers: Mapping[int, NDArray[Any]],
    thresholds: Sequence[float],
    overlap: Overlap,
) -> list[dict[str, Any]]:
    found = COCO()
    found.dataset = {
        "images": _images(answers, truth.imgs),
        "categories": truth.dataset["categories"],
        "annotations": [
            {**one, "id": number, "iscrowd": 0}
            for number, one in enumerate(
                (one for image, rows in answers.items() for one in _as_annotations(image, rows)), 1
            )
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
        found.createIndex()
        evaluation = COCOeval(truth, found, overlap.value)
        evaluation.params.imgIds = list(answers)
        # pycocotools knows the truth's categories alone: what is found of others is wrong, too.
        evaluation.params.catIds = sorted(
            {*truth.getCatIds(), *(one["category_id"] for one in found.dataset["annotations"])}
        )
        evaluation.params.iouThrs = np.asarray(thresholds)
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
    return [one for one in evaluation.evalImgs if one is not None]


def _gather(
    found: Sequence[dict[str, Any]], positions: Mapping[int, int], thresholds: Sequence[float]
) -> Matches:
    counts = [len(one["dtScores"]) for one in found]
    picture = np.repeat([positions[one["image_id"]] for one in found], counts).astype(np.int64)
    score = np.concatenate([np.asarray(one["dtScores"], np.float64) for one in found])
    shape = (len(thresholds), -1)
    hit = np.concatenate([np.reshape(one["dtMatches"], shape) for one in found], 1) > 0
    ignored = np.concatenate([np.reshape(one["dtIgnore"], shape) for one in found], 1) > 0
    objects = np.zeros(len(positions), np.int64)
    for one in found:
        objects[positions[one["image_id"]]] = np.sum(np.asarray(one["gtIgnore"]) == 0)
    # The same sort as pycocotools', so that equal scores keep the same order.
    order = np.argsort(-score, kind="mergesort")
    return Matches(
        picture=picture[order],
        score=score[order],
        hit=(hit & ~ignored)[:, order],
        counted=~ignored[:, order],
        objects=objects,
    )
