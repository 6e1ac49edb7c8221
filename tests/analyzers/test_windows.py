"""From windows to detections."""

from __future__ import annotations

import numpy as np

from ugicm_analyzers.embedded.windows import detections_from_windows, shrink
from ugicm_analyzers.protocol import Box, Detection


def detections(windows, scores, *, scale=1.0, size=(100, 100)):
    return detections_from_windows(
        np.array(windows, np.float64), np.array(scores), label="cat", scale=scale, size=size
    )


def test_of_windows_on_one_object_the_likeliest_stays():
    found = detections([(0, 0, 10, 10), (1, 1, 10, 10), (50, 50, 10, 10)], [0.6, 0.9, 0.7])
    assert found == (
        Detection("cat", 0.9, Box(1.0, 1.0, 11.0, 11.0)),
        Detection("cat", 0.7, Box(50.0, 50.0, 60.0, 60.0)),
    )


def test_boxes_are_in_the_pixels_of_the_picture_and_end_at_its_edges():
    (found,) = detections([(-2, 5, 30, 60)], [0.5], scale=2.0, size=(100, 50))
    assert found.box == Box(0.0, 10.0, 50.0, 100.0)


def test_the_order_of_windows_does_not_matter():
    windows = [(0, 0, 10, 10), (3, 0, 10, 10), (6, 0, 10, 10), (40, 40, 9, 9)]
    scores = [0.5, 0.5, 0.5, 0.5]
    assert detections(windows, scores) == detections(windows[::-1], scores)


def test_no_window_is_no_detection():
    assert detections(np.empty((0, 4)), []) == ()


def test_only_large_pictures_shrink():
    picture = np.zeros((1280, 40, 3), np.uint8)
    same, scale = shrink(picture)
    assert same is picture
    assert scale == 1.0
    small, scale = shrink(np.zeros((2560, 2, 3), np.uint8))
    assert small.shape == (1280, 1, 3)
    assert scale == 2.0
