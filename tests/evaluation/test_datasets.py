import json

import numpy as np
import pytest
from PIL import Image

from tests.pictures import scene
from ugicm_evaluation.datasets.coco import CocoPictures
from ugicm_evaluation.datasets.folder import PictureFolder
from ugicm_evaluation.datasets.imagenet import LabelledFolder
from ugicm_evaluation.datasets.protocol import read_picture
from ugicm_evaluation.errors import BadDataset, BadPicture


def save(path, picture):
    Image.fromarray(picture).save(path)
    return path


def test_a_picture_is_read_as_it_is(tmp_path):
    picture = scene(20, 30)
    assert (read_picture(save(tmp_path / "a.png", picture)) == picture).all()


def test_a_picture_larger_than_the_limit_is_reduced_in_proportion(tmp_path):
    path = save(tmp_path / "a.png", scene(60, 90))
    assert read_picture(path, longest_side=45).shape == (30, 45, 3)


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda data: b"text"])
def test_a_damaged_picture_is_named(tmp_path, damage):
    path = save(tmp_path / "broken.png", scene(40, 40))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadPicture, match=r"broken\.png: "):
        read_picture(path)


def test_a_folder_has_its_pictures_by_name_and_nothing_else(tmp_path):
    for name in ("b.png", "a.JPG"):
        save(tmp_path / name, scene(8, 8))
    (tmp_path / "notes.txt").write_text("")
    assert [one.key for one in PictureFolder(tmp_path).samples] == ["a.JPG", "b.png"]


def test_an_empty_folder_is_no_dataset(tmp_path):
    with pytest.raises(BadDataset, match="holds no picture files"):
        PictureFolder(tmp_path)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("{}", "holds no object"),
        ("[1]", "holds no object"),
        ("{", "holds no labels"),
        ('{"a.jpg": 1000}', "from 0 to 999, got 1000 for a.jpg"),
        ('{"a.jpg": "cat"}', "from 0 to 999, got 'cat' for a.jpg"),
    ],
)
def test_labels_that_are_none_are_named(tmp_path, labels, complaint):
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(BadDataset, match=complaint):
        LabelledFolder(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', '{"images": [{}]}'])
def test_annotations_that_are_none_are_named(tmp_path, text):
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(BadDataset, match=r"instances\.json (holds no COCO|names no images)"):
        CocoPictures(tmp_path / "images", tmp_path / "instances.json", name="coco")


def test_coco_pictures_come_by_file_name(tmp_path):
    images = [{"id": 7, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}]
    table = {"images": images, "annotations": [], "categories": []}
    (tmp_path / "instances.json").write_text(json.dumps(table))
    dataset = CocoPictures(tmp_path / "images", tmp_path / "instances.json", name="coco")
    assert [one.key for one in dataset.samples] == ["a.jpg", "b.jpg"]
    assert dataset.image_ids == {"a.jpg": 9, "b.jpg": 7}


def test_pixels_may_be_written_to(tmp_path):
    picture = read_picture(save(tmp_path / "a.png", scene(8, 8)))
    picture[0] = 0
    assert not np.any(picture[0])
