"""Run lengths against pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.rle import PictureMasks


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12)))
def test_masks_come_back_without_the_empty_ones(masks):
    stored = PictureMasks.encode(masks)
    kept = masks[masks.any((1, 2))]
    assert np.array_equal(stored.decode(), kept)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_a_stored_mask_is_what_coco_tools_write_and_read(mask):
    stored = PictureMasks.encode(mask[None])
    for counts in stored.counts:
        runs = {"size": list(mask.shape), "counts": counts}
        assert np.array_equal(coco.decode(runs), mask)
        assert coco.encode(np.asfortranarray(mask, np.uint8)) == runs


def test_long_runs_are_read_as_coco_tools_read_them():
    mask = np.zeros((3000, 2000), bool)
    mask[5, 7] = mask[2990, 1999] = True
    stored = PictureMasks.encode(mask[None])
    assert np.array_equal(stored.decode()[0], mask)


@pytest.mark.parametrize(
    "counts", [b"abc", b"zzzzzzzz", b"h4", b"P137", b"PPPPPPPPP0", b"h3\xff", b""]
)
def test_runs_that_do_not_cover_the_picture_are_refused(counts):
    with pytest.raises(BadMasks, match="run lengths that do not cover 10x12 pixels"):
        PictureMasks(10, 12, (counts,)).decode()


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_refused(counts):
    try:
        masks = PictureMasks(10, 12, (counts,)).decode()
    except BadMasks:
        return
    assert masks.shape == (1, 10, 12)
