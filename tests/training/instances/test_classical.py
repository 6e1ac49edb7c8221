"""The default segmenter on photographs, against people's masks."""

import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from ugicm_training.instances.classical import ColourRegions

needs_coco = pytest.mark.skipif(
    "UGICM_SHARED_DATA" not in os.environ,
    reason="needs UGICM_SHARED_DATA, a folder with coco/instances.json and coco/images/",
)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (129, 900)])
def test_pictures_of_any_shape_are_segmented(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert ColourRegions().segment("noise", picture).shape[1:] == shape


def test_at_most_so_many_regions_are_returned():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = picture.repeat(16, 0).repeat(16, 1)
    assert len(ColourRegions(most=3).segment("patches", picture)) == 3


@needs_coco
@pytest.mark.slow
def test_instances_that_people_drew_are_found():
    folder = Path(os.environ["UGICM_SHARED_DATA"]) / "coco"
    content = json.loads((folder / "instances.json").read_text())
    polygons = defaultdict(list)
    for annotation in content["annotations"]:
        if not annotation["iscrowd"]:
            polygons[annotation["image_id"]].append(annotation["segmentation"])
    best = []
    for image in content["images"][:40]:
        picture = np.asarray(Image.open(folder / "images" / image["file_name"]).convert("RGB"))
        found = ColourRegions().segment(image["file_name"], picture)
        for shapes in polygons[image["id"]]:
            runs = coco.merge(coco.frPyObjects(shapes, *picture.shape[:2]))
            drawn = coco.decode(runs).astype(bool)
            if drawn.mean() >= 0.01:
                overlap = (found & drawn).sum((1, 2)) / (found | drawn).sum((1, 2))
                best.append(overlap.max(initial=0.0))
    assert np.mean(np.array(best) >= 0.5) > 0.14
    assert np.mean(best) > 0.22
