"""PASCAL VOC's folders, made by hand."""

import numpy as np
import pytest
from PIL import Image

from ugicm_evaluation.datasets.protocol import VOID
from ugicm_evaluation.datasets.voc import VOC_LABELS, VocLabelMaps, VocObjects
from ugicm_evaluation.errors import BadDataset, BadPicture

ANNOTATION = """<annotation>
  <object><name>sofa</name><difficult>0</difficult>
    <bndbox><xmin>1</xmin><ymin>11</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>
  <object><name>cat</name><difficult>1</difficult>
    <bndbox><xmin>5.5</xmin><ymin>6</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def voc(tmp_path):
    for folder in ("Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "Annotations" / "a.xml").write_text(ANNOTATION)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("a\n")
    (tmp_path / "ImageSets" / "Main" / "cat_val.txt").write_text("a  1\n")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\nc\n")
    labels = np.array([[0, 15], [VOID, 20]], np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([level // 3 for level in range(768)])
    image.save(tmp_path / "SegmentationClass" / "a.png")
    Image.fromarray(np.full((2, 2), 21, np.uint8)).save(tmp_path / "SegmentationClass" / "b.png")
    return tmp_path


def test_boxes_count_from_zero_and_difficult_ones_do_not_count(voc):
    dataset = VocObjects(voc, "val", name="voc")
    sofa, cat = dataset.truth.loadAnns(dataset.truth.getAnnIds([dataset.image_ids["a"]]))
    assert (sofa["bbox"], sofa["iscrowd"]) == ([0, 10, 20, 20], 0)
    assert (cat["bbox"], cat["iscrowd"]) == ([4.5, 5, 4.5, 4], 1)
    assert sofa["category_id"] == dataset.categories["sofa"] == VOC_LABELS.index("sofa") == 18
    assert len(dataset.categories) == 20
    assert dataset.samples[0].path == voc / "JPEGImages" / "a.jpg"
    assert dataset.unusable() == {}


def test_the_list_of_one_class_is_read_too(voc):
    assert [one.key for one in VocObjects(voc, "cat_val", name="voc").samples] == ["a"]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text("<annotation>"), "no element found"),
        (lambda path: path.write_text(ANNOTATION.replace("sofa", "unicorn")), "unicorn"),
        (lambda path: path.write_text(ANNOTATION.replace("xmax", "ymax")), "bndbox/xmax"),
    ],
)
def test_a_picture_without_an_annotation_is_named_and_the_others_stay(voc, damage, complaint):
    (voc / "ImageSets" / "Main" / "val.txt").write_text("a\nb\n")
    (voc / "Annotations" / "b.xml").write_text(ANNOTATION)
    damage(voc / "Annotations" / "a.xml")
    dataset = VocObjects(voc, "val", name="voc")
    assert list(dataset.unusable()) == ["a"]
    assert complaint in dataset.unusable()["a"]
    assert len(dataset.truth.getAnnIds([dataset.image_ids["b"]])) == 2


def test_label_maps_are_indexes_and_those_that_are_none_are_named(voc):
    dataset = VocLabelMaps(voc, "val", name="voc")
    assert dataset.label_map("a").tolist() == [[0, 15], [VOID, 20]]
    assert list(dataset.unusable()) == ["b", "c"]
    with pytest.raises(BadPicture, match=r"b\.png: labels are 0 to 20, or 255"):
        dataset.label_map("b")
    with pytest.raises(BadPicture, match=r"c\.png holds no label map: .*No such file"):
        dataset.label_map("c")


@pytest.mark.parametrize("kind", [VocObjects, VocLabelMaps])
def test_a_missing_list_is_one_clear_line(voc, kind):
    with pytest.raises(BadDataset, match=r"test\.txt holds no list of pictures: .*No such file"):
        kind(voc, "test", name="voc")
