"""Findings are drawn where they are, in colours that mean the same everywhere."""

import numpy as np
import pytest
from PIL import Image

from tests.client.harness import flat
from ugicm.v1 import analytics_pb2 as pb
from ugicm_client.annotation import Finding, annotate, findings_of, readable
from ugicm_client.errors import ServiceError

GREY = 90
SIZE = 480


def drawn(*findings, height=SIZE, width=SIZE, scale=1):
    picture = Image.fromarray(flat(GREY, scale * height, scale * width))
    return np.asarray(annotate(picture, findings, shape=(height, width)))


def is_drawn(image, x, y):
    return bool((image[y, x] != GREY).any())


def test_a_box_is_outlined_and_its_inside_is_not_touched():
    image = drawn(Finding("car", 0.9, (100, 120, 300, 400)))
    edges = [(100, 250), (300, 250), (200, 120), (200, 400)]
    assert all(is_drawn(image, x, y) for x, y in edges)
    assert not is_drawn(image, 200, 260)
    assert not is_drawn(image, 400, 260)
    assert is_drawn(image, 104, 112)  # the label stands on the box


def test_boxes_are_in_the_coordinates_of_the_picture_that_was_analyzed():
    image = drawn(Finding("car", 0.9, (100, 120, 300, 400)), scale=2)
    assert is_drawn(image, 200, 500)
    assert not is_drawn(image, 100, 250)


def test_a_mask_covers_its_pixels_down_the_columns():
    runs = [480 * 100 + 60, 300, 480 * 379 + 120]  # of column 100, rows 60 to 359
    image = drawn(Finding("car", 0.9, (50, 40, 400, 440), runs))
    assert is_drawn(image, 100, 200)
    assert not is_drawn(image, 100, 420)
    assert not is_drawn(image, 200, 100)


def test_a_segment_has_its_label_within_its_pixels():
    runs = [0, 480 * 240, 480 * 240]
    image = drawn(Finding("sky", None, None, runs))
    assert is_drawn(image, 10, 10)
    assert not is_drawn(image, 470, 10)
    text_colours = {tuple(pixel) for pixel in image[200:241, 100:240].reshape(-1, 3)}
    assert len(text_colours) > 2


def test_what_the_whole_picture_shows_stands_in_its_lower_corner():
    image = drawn(Finding("tabby cat", 0.9), Finding("tiger cat", 0.1))
    changed = (image != GREY).any(axis=2)
    assert changed[-60:, :200].any()
    assert not changed[: SIZE // 2].any()
    assert not changed[:, SIZE // 2 :].any()
    upper, lower = (np.flatnonzero(changed[:, 1])[index] for index in (2, -3))
    assert tuple(image[upper, 1]) == colour_of("tabby cat")
    assert tuple(image[lower, 1]) == colour_of("tiger cat")


def colour_of(label):
    image = drawn(Finding(label, 0.9, (100, 120, 300, 400)))
    return tuple(image[250, 100])


def test_a_label_has_one_colour_in_every_picture():
    beside = drawn(Finding("dog", 0.4, (10, 10, 40, 40)), Finding("car", 0.9, (100, 120, 300, 400)))
    assert tuple(beside[250, 100]) == colour_of("car")
    assert len({colour_of(label) for label in ("car", "dog", "person")}) == 3


def test_colours_are_of_the_palette_for_any_colour_vision():
    assert colour_of("car") == (0x00, 0x9E, 0x73)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (8, 9)])
def test_any_shape_is_drawn_and_small_ones_are_enlarged(shape):
    picture = readable(flat(GREY, *shape))
    assert max(picture.size) >= 480
    findings = [Finding("car", 0.5, (0, 0, shape[1], shape[0]), [0, shape[0] * shape[1]])]
    image = np.asarray(annotate(picture, findings, shape=shape))
    assert image.shape[:2] == (picture.height, picture.width)
    assert (image != GREY).any()


def test_nothing_found_is_the_picture_itself():
    assert (drawn() == GREY).all()


def test_a_mask_of_another_picture_is_refused():
    with pytest.raises(ServiceError, match="a mask has 7 pixels, the picture 480x480"):
        drawn(Finding("car", 0.9, (0, 0, 1, 1), [3, 4]))


def test_everything_of_an_analysis_is_a_finding():
    mask = pb.Mask(runs=[1, 2, 3])
    box = pb.Box(left=1, top=2, right=3, bottom=4)
    analysis = pb.Analysis(
        results=[
            pb.AnalyzerResult(
                detections=[
                    pb.Detection(label="car", score=0.5, box=box, mask=mask),
                    pb.Detection(label="dog", score=0.25, box=box),
                ],
                classifications=[pb.Classification(label=f"c{n}", score=0.1) for n in range(5)],
                segments=[pb.Segment(label="sky", mask=mask)],
            )
        ]
    )
    assert findings_of(analysis) == [
        Finding("car", 0.5, (1, 2, 3, 4), [1, 2, 3]),
        Finding("dog", 0.25, (1, 2, 3, 4)),
        *(Finding(f"c{n}", 0.1) for n in range(3)),
        Finding("sky", None, None, [1, 2, 3]),
    ]
