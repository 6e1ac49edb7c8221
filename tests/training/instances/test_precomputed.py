"""Masks out of COCO's JSON, in each of its forms."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.precomputed import CocoFile

PICTURE = np.zeros((6, 8, 3), np.uint8)
MASK = np.zeros((6, 8), bool)
MASK[1:4, 2:7] = True
COMPRESSED = {
    "size": [6, 8],
    "counts": coco.encode(np.asfortranarray(MASK, np.uint8))["counts"].decode(),
}
# Column by column: 0 to 1, then three rows of five columns.
UNCOMPRESSED = {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 3, 3, 3, 3, 8]}
POLYGON = [[2.0, 1.0, 7.0, 1.0, 7.0, 4.0, 2.0, 4.0]]


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "masks.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return CocoFile(path)

    return write


def annotations(*segmentations, **more):
    return {
        "images": [{"id": 7, "file_name": "train/cat.jpg", "height": 6, "width": 8}],
        "annotations": [
            {"id": index, "image_id": 7, "category_id": 1, "segmentation": one, **more}
            for index, one in enumerate(segmentations)
        ],
        "categories": [],
    }


@pytest.mark.parametrize(
    "segmentation",
    [COMPRESSED, UNCOMPRESSED, POLYGON],
    ids=["compressed runs", "uncompressed runs", "polygon"],
)
def test_each_form_of_a_mask_is_read(file, segmentation):
    masks = file(annotations(segmentation)).segment("cat.jpg", PICTURE)
    assert np.array_equal(masks, MASK[None])


@pytest.mark.parametrize(
    ("image_id", "name"),
    [("cat.jpg", "cat.jpg"), ("cat", "cat.jpg"), (139, "000000000139.jpg")],
)
def test_results_belong_to_the_picture_of_their_id(file, image_id, name):
    results = file([{"image_id": image_id, "segmentation": COMPRESSED, "score": 0.5}])
    assert len(results.segment(name, PICTURE)) == 1


def test_the_surest_comes_first(file):
    other = {"size": [6, 8], "counts": [0, 6, 42]}
    results = [
        {"image_id": "cat", "segmentation": other, "score": 0.2},
        {"image_id": "cat", "segmentation": COMPRESSED, "score": 0.9},
    ]
    assert np.array_equal(file(results).segment("cat.jpg", PICTURE)[0], MASK)


def test_crowds_are_no_instances(file):
    assert len(file(annotations(UNCOMPRESSED, iscrowd=1)).segment("cat.jpg", PICTURE)) == 0


def test_a_picture_that_the_file_does_not_know_has_no_masks(file):
    assert file(annotations(COMPRESSED)).segment("dog.jpg", PICTURE).shape == (0, 6, 8)


def test_masks_of_another_size_name_the_file_and_the_picture(file):
    with pytest.raises(
        BadMasks, match=r"masks\.json, picture cat\.jpg: masks of 6x8 pixels for one of 12x16"
    ):
        file(annotations(COMPRESSED)).segment("cat.jpg", np.zeros((12, 16, 3), np.uint8))


def test_polygons_of_another_size_are_refused_too(file):
    with pytest.raises(BadMasks, match=r"picture cat\.jpg: masks of 6x8 pixels for one of 12x16"):
        file(annotations(POLYGON)).segment("cat.jpg", np.zeros((12, 16, 3), np.uint8))


def test_a_box_without_a_mask_is_no_instance(file):
    assert len(file(annotations([], POLYGON)).segment("cat.jpg", PICTURE)) == 1


@pytest.mark.parametrize("counts", ["abc", "h4", [13, 3], [47]])
def test_damaged_runs_name_the_file_and_the_picture(file, counts):
    damaged = {"size": [6, 8], "counts": counts}
    with pytest.raises(BadMasks, match=r"picture cat\.jpg: run lengths that do not cover 6x8"):
        file(annotations(damaged)).segment("cat.jpg", PICTURE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "Input data was truncated"),
        ("\ufeff[]", "JSON is malformed"),
        ("3", "Expected `object | array`, got `int`"),
        ([{"segmentation": COMPRESSED}], r"missing required field `image_id` - at `\$\[0\]`"),
        ([{"image_id": 1, "segmentation": {"counts": "0"}}], "missing required field `size`"),
        (annotations({"size": [6, 8], "counts": [-1, 49]}), "Expected `int` >= 0"),
        (annotations([[1.0, 2.0]]), "Expected `array` of length >= 6"),
        (annotations([[1e9] * 6]), "Expected `float` <= 65535"),
        (annotations({"size": [0, 8], "counts": []}), "Expected `int` >= 1"),
    ],
)
def test_what_is_no_coco_file_says_why(file, content, complaint):
    with pytest.raises(BadMasks, match=rf"masks\.json holds no masks as COCO.*{complaint}"):
        file(content).check()
