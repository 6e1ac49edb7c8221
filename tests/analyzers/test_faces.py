"""The face detector on photos of people, and on photos without."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from tests.analytics.photos import photo
from ugicm_analyzers.errors import AnalyzerUnavailable
from ugicm_analyzers.protocol import Findings
from ugicm_analyzers.registry import load_analyzers
from ugicm_analyzers.threads import limit_threads


@pytest.fixture(scope="module")
def faces():
    return load_analyzers(["faces"])["faces"]


def likely(analyzer, picture):
    """Return what a caller without a minimum score of its own gets."""
    (findings,) = analyzer.analyze([picture], ())
    return [item for item in findings.detections if item.score >= analyzer.info.minimum_score]


def centre(box):
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


@pytest.mark.parametrize(
    ("name", "nose"),
    [("astronaut.png", (224, 120)), ("grace_hopper.jpg", (262, 220)), ("camera.png", (225, 140))],
)
def test_the_one_face_is_found_where_it_is(faces, name, nose):
    (face,) = likely(faces, photo(name))
    assert face.label == "face"
    assert face.box.left < nose[0] < face.box.right
    assert face.box.top < nose[1] < face.box.bottom
    assert centre(face.box) == pytest.approx(nose, abs=25)


# Of 98, 49, 40, 34 and 30 pixels: below 40 they are looked for in another way.
@pytest.mark.parametrize("scale", [1, 0.5, 0.4, 0.35, 0.3])
def test_large_and_small_faces_are_found_at_their_size(faces, scale):
    picture = cv2.resize(
        photo("astronaut.png"), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    (face,) = likely(faces, picture)
    assert centre(face.box) == pytest.approx((224 * scale, 120 * scale), abs=25 * scale)
    assert face.box.right - face.box.left == pytest.approx(98 * scale, rel=0.2)


@pytest.mark.parametrize(
    "name",
    ["chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "coins.png"],
)
def test_photos_without_people_have_no_faces(faces, name):
    assert likely(faces, photo(name)) == []


def test_profiles_are_found_in_both_directions(faces):
    picture = photo("camera.png")
    (face,) = likely(faces, picture)
    (mirrored,) = likely(faces, np.ascontiguousarray(picture[:, ::-1]))
    assert centre(mirrored.box)[0] == pytest.approx(512 - centre(face.box)[0], abs=5)


def test_boxes_of_large_pictures_are_in_their_own_pixels(faces):
    picture = photo("astronaut.png")
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (face,) = likely(faces, picture)
    (large_face,) = likely(faces, large)
    assert centre(large_face.box) == pytest.approx([4 * side for side in centre(face.box)], abs=40)


def test_threads_find_what_one_alone_finds(faces):
    pictures = [photo("astronaut.png"), photo("grace_hopper.jpg"), photo("coins.png")]
    alone = faces.analyze(pictures, ())
    with ThreadPoolExecutor(6) as executor:
        together = list(executor.map(lambda one: faces.analyze([one], ())[0], 2 * pictures))
    assert together == 2 * alone
    assert Findings() in alone
    assert alone != [Findings()] * 3


@pytest.mark.parametrize("shape", [(1, 1, 3), (27, 500, 3), (2000, 1, 3)])
def test_pictures_smaller_than_a_face_have_none(faces, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert faces.analyze([picture], ()) == [Findings()]


def test_an_opencv_without_cascades_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(AnalyzerUnavailable, match="install opencv-python-headless 4"):
        load_analyzers(["faces"])


def test_the_number_of_threads_changes_no_face(faces):
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        found = []
        for most in (1, 3):
            limit_threads(most)
            found.append(faces.analyze([photo("astronaut.png")], ()))
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
    assert found[0] == found[1]
    assert found[0][0].detections
