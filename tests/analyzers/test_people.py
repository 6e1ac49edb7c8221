"""The detector of people who stand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugicm_analyzers.protocol import Findings
from ugicm_analyzers.registry import load_analyzers


@pytest.fixture(scope="module")
def people():
    return load_analyzers(["people"])["people"]


# OpenCV's own detector writes beyond its buffers for these.
@pytest.mark.parametrize("shape", [(1, 1, 3), (127, 500, 3), (500, 63, 3), (20, 200, 3)])
def test_pictures_smaller_than_a_person_have_none(people, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert people.analyze([picture], ()) == [Findings()]


@pytest.mark.skipif(
    "UGICM_SHARED_DATA" not in os.environ,
    reason="needs UGICM_SHARED_DATA, a folder with coco/instances.json and coco/images/",
)
@pytest.mark.parametrize("name", ["000000489520.jpg", "000000030752.jpg", "000000538113.jpg"])
def test_an_annotated_person_is_found_where_the_annotation_is(people, name):
    coco = Path(os.environ["UGICM_SHARED_DATA"]) / "coco"
    with Image.open(coco / "images" / name) as image:
        picture = np.asarray(image.convert("RGB"))
    (findings,) = people.analyze([picture], ())
    likeliest = findings.detections[0]
    assert likeliest.score > 0.9
    assert max(overlap(likeliest.box, box) for box in annotated_people(coco, name)) > 0.4


def annotated_people(coco, name):
    instances = json.loads((coco / "instances.json").read_text())
    image_id = next(one["id"] for one in instances["images"] if one["file_name"] == name)
    person_id = next(one["id"] for one in instances["categories"] if one["name"] == "person")
    return [
        one["bbox"]
        for one in instances["annotations"]
        if (one["image_id"], one["category_id"]) == (image_id, person_id)
    ]


def overlap(box, other):
    """Return the part of their union that two boxes share."""
    left, top, width, height = other
    across = min(box.right, left + width) - max(box.left, left)
    down = min(box.bottom, top + height) - max(box.top, top)
    shared = max(across, 0) * max(down, 0)
    own = (box.right - box.left) * (box.bottom - box.top)
    return shared / (own + width * height - shared)
