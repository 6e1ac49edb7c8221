"""Open analyzers as the tests need them."""

from __future__ import annotations

import msgspec
import numpy as np

from ugicm_analyzers.registry import open_analyzer
from ugicm_analyzers.specification import parse_specification


def opened(text, **changes):
    """Return the analyzer of a word of the settings, changed in some fields."""
    return open_analyzer(msgspec.structs.replace(parse_specification(text), **changes))


def rows(findings):
    """Return boxes and scores as lists, the best first."""
    return [
        [item.box.left, item.box.top, item.box.right, item.box.bottom, item.score]
        for item in findings.detections
    ]


def same_objects(found, expected, *, atol):
    """Return whether two findings hold the same boxes, labels and scores but for rounding."""
    return [item.label for item in found.detections] == [
        item.label for item in expected.detections
    ] and np.allclose(rows(found), rows(expected), atol=atol)
