"""Run lengths are COCO's."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from ugicm_analyzers.masks import mask_from_pixels, pixels_from_mask
from ugicm_analyzers.protocol import Mask


@pytest.mark.parametrize("likelihood", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 1), (37, 21)])
def test_pycocotools_reads_what_is_written(likelihood, shape):
    pixels = np.random.default_rng(0).random(shape) < likelihood
    mask = mask_from_pixels(pixels)
    compressed = coco.frPyObjects({"size": list(shape), "counts": list(mask.runs)}, *shape)
    assert (coco.decode(compressed) == pixels).all()
    assert (pixels_from_mask(mask, *shape) == pixels).all()


def test_runs_go_down_the_columns_and_begin_outside():
    pixels = np.array([[1, 0, 0], [1, 0, 1]], np.bool_)
    assert mask_from_pixels(pixels) == Mask((0, 2, 3, 1))


def test_runs_of_another_size_are_refused():
    with pytest.raises(ValueError, match="2x2 pixels sum to 6"):
        pixels_from_mask(Mask((6,)), 2, 2)
