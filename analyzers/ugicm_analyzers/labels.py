"""The names of a network's classes: lists that come with torchvision, or a file's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torchvision_cpu
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, BadWeights
from ugicm_analyzers.specification import Specification

__all__ = [
    "BACKGROUND",
    "answerable",
    "coco_categories",
    "coco_labels",
    "imagenet_labels",
    "network_labels",
    "specified_labels",
    "voc_labels",
]

# What torchvision calls the class of no object, and COCO's numbers that were never used.
BACKGROUND, UNUSED = "__background__", "N/A"


def coco_categories() -> tuple[str, ...]:
    """Return COCO's 91 category numbers' names: the background, 80 labels and ten unused ones."""
    torchvision_cpu.ensure()
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights as Weights

    return tuple(Weights.DEFAULT.meta["categories"])


def coco_labels() -> tuple[str, ...]:
    """Return COCO's 80, in the order of its category numbers."""
    return tuple(label for label in coco_categories() if label not in (BACKGROUND, UNUSED))


def imagenet_labels() -> tuple[str, ...]:
    """Return the 1,000 of ImageNet's challenge."""
    torchvision_cpu.ensure()
    from torchvision.models import ResNet50_Weights as Weights

    return tuple(Weights.DEFAULT.meta["categories"])


def voc_labels() -> tuple[str, ...]:
    """Return PASCAL VOC's 20, with the background before them."""
    torchvision_cpu.ensure()
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights as Weights

    return tuple(Weights.DEFAULT.meta["categories"])


_LISTS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "coco": coco_labels,
    "imagenet": imagenet_labels,
    "voc": voc_labels,
}
_OF_COUNT = {80: "coco", 1000: "imagenet", 21: "voc"}


def network_labels(
    specification: Specification, count: int, *, own: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return a label for each of a network's classes, in their order.

    Args:
        specification: whose labels count before ``own``.
        count: how many classes the network has.
        own: what the network's file says itself, if anything.

    Raises:
        BadWeights: there are not as many labels as classes.
        BadSpecification: nothing names the classes, or one name stands twice.
        AnalyzerUnavailable: the labels' file cannot be read.
    """
    labels = specified_labels(specification) or own
    if not labels and count in _OF_COUNT:
        labels = _LISTS[_OF_COUNT[count]]()
    if not labels:
        raise BadSpecification(
            f"{specification.name}: nothing names the network's {count} classes: "
            "give labels in an analyzer.toml"
        )
    if len(labels) != count:
        raise BadWeights(
            f"{specification.name}: the network of {specification.weights or specification.model} "
            f"tells {count} classes apart, and there are {len(labels)} labels"
        )
    return labels


def specified_labels(specification: Specification) -> tuple[str, ...]:
    """Return the labels that a specification gives; empty if it gives none.

    Raises:
        BadSpecification: one stands twice or is empty.
        AnalyzerUnavailable: their file cannot be read.
    """
    given = specification.labels
    if isinstance(given, str) and given in _LISTS:
        labels = _LISTS[given]()
    elif isinstance(given, str):
        labels = _read(Path(given)) if given else ()
    else:
        labels = given
    twice = [label for label, times in Counter(labels).items() if times > 1]
    if twice or "" in labels:
        reason = f"{twice[0]!r} stands twice" if twice else "one is empty"
        raise BadSpecification(f"{specification.name}: of its labels, {reason}")
    return labels


def answerable(specification: Specification, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that findings may have: all, or those that ``only`` names.

    Raises:
        BadSpecification: ``only`` names another.
    """
    known = tuple(label for label in labels if label not in (BACKGROUND, UNUSED))
    unknown = [label for label in specification.only if label not in known]
    if unknown:
        raise BadSpecification(
            f"{specification.name}: only names {unknown[0]!r}, which is none of its "
            f"{len(known)} labels"
        )
    return tuple(label for label in known if label in specification.only) or known


def _read(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        known = ", ".join(_LISTS)
        raise AnalyzerUnavailable(
            f"labels {path} cannot be read ({reason}): name a text file, or one of {known}"
        ) from error
