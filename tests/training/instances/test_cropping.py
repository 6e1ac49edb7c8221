"""What of a picture's instances a training crop shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugicm_training.errors import BadMasks
from ugicm_training.instances.cropping import (
    InstanceLimits,
    Window,
    batch_instances,
    crop_instances,
)
from ugicm_training.instances.rle import PictureMasks

EVERYTHING = InstanceLimits(most=100, smallest=0.0, largest=1.0, least_visible=0.0)


def window(top=0, left=0, side=20, mirrored=False, height=40, width=60):
    return Window(height, width, top, left, side, mirrored)


def rectangle(top, left, height, width):
    mask = np.zeros((40, 60), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def stored(*masks):
    return PictureMasks.encode(np.stack(masks))


def rng():
    return np.random.default_rng(0)


@given(
    seed=st.integers(0, 99),
    top=st.integers(0, 20),
    left=st.integers(0, 40),
    mirrored=st.booleans(),
)
def test_masks_are_cut_as_the_picture_is(seed, top, left, mirrored):
    masks = np.random.default_rng(seed).random((3, 40, 60)) < 0.3
    cut = crop_instances(
        PictureMasks.encode(masks), window(top, left, mirrored=mirrored), EVERYTHING, rng()
    )
    crop = masks[:, top : top + 20, left : left + 20]
    assert np.array_equal(cut, crop[..., ::-1] if mirrored else crop)


def test_instances_beside_the_crop_are_not_shown():
    beside = rectangle(0, 20, 40, 40)
    assert len(crop_instances(stored(beside), window(), EVERYTHING, rng())) == 0


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (rectangle(0, 0, 2, 2), True),  # 1 % of the crop
        (rectangle(0, 0, 1, 3), False),
        (rectangle(0, 0, 18, 20), True),  # 90 %
        (rectangle(0, 0, 19, 20), False),
        (rectangle(0, 14, 10, 20), True),  # 30 % of the instance
        (rectangle(0, 15, 10, 20), False),
    ],
)
def test_slivers_and_what_fills_the_crop_are_left_out(mask, shown):
    assert len(crop_instances(stored(mask), window(), InstanceLimits(), rng())) == shown


def test_of_many_instances_some_are_drawn_each_equally_often():
    masks = [rectangle(0, left, 5, 2) for left in range(0, 20, 2)]
    generator = rng()
    counts = np.zeros(10)
    for _ in range(400):
        cut = crop_instances(stored(*masks), window(), InstanceLimits(most=3), generator)
        assert len(cut) == 3
        counts += [
            any(np.array_equal(one[:5, 2 * k], [True] * 5) for one in cut) for k in range(10)
        ]
    assert counts.min() > 80
    assert counts.max() < 160


def test_the_same_generator_draws_the_same_instances():
    masks = [rectangle(0, left, 5, 2) for left in range(0, 20, 2)]
    one, other = (crop_instances(stored(*masks), window(), InstanceLimits(), rng()) for _ in "ab")
    assert np.array_equal(one, other)


def test_masks_of_another_size_are_refused():
    with pytest.raises(BadMasks, match="masks of 40x60 pixels for a picture of 60x40"):
        crop_instances(
            stored(rectangle(0, 0, 9, 9)), window(height=60, width=40), EVERYTHING, rng()
        )


def test_a_batch_knows_whose_each_instance_is():
    none, one, two = (np.full((count, 4, 4), True) for count in (0, 1, 2))
    instances = batch_instances([two, none, one], 4)
    assert instances.owner.tolist() == [0, 0, 2]
    assert instances.masks.shape == (3, 4, 4)


def test_a_batch_may_show_no_instance():
    instances = batch_instances([np.zeros((0, 4, 4), bool)] * 2, 4)
    assert instances.masks.shape == (0, 4, 4)
    assert instances.owner.shape == (0,)


def test_a_picture_without_masks_shows_nothing():
    assert crop_instances(PictureMasks(40, 60, ()), window(), EVERYTHING, rng()).shape == (
        0,
        20,
        20,
    )
