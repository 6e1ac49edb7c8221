import json

import numpy as np
import pytest
from PIL import Image

from ugicm_analyzers.labels import coco_labels
from ugicm_evaluation.config import Coco, VocSegmentation
from ugicm_evaluation.datasets.voc import VocObjects
from ugicm_evaluation.tasks.choosing import numbers_of
from ugicm_evaluation.tasks.classification import Classification
from ugicm_evaluation.tasks.detection import Detection
from ugicm_evaluation.tasks.segmentation import Segmentation
from ugicm_evaluation.tasks.similarity import Similarity

KEYS = ["a.jpg", "b.jpg"]
ITSELF = np.ones((1, 2), np.int64)


def scores(task, answers, originals, draws=ITSELF):
    found = task.score(KEYS, answers, originals, draws)
    assert found.shape == (len(task.metrics), len(draws))
    return dict(zip([metric.name for metric in task.metrics], found, strict=True))


@pytest.fixture
def coco(tmp_path):
    """One person in each of two pictures."""
    table = {
        "images": [{"id": 10 + index, "file_name": key} for index, key in enumerate(KEYS)],
        "annotations": [
            {
                "id": 1 + index,
                "image_id": 10 + index,
                "category_id": 1,
                "bbox": [10, 10, 40, 40],
                "area": 1600,
                "iscrowd": 0,
            }
            for index in range(2)
        ],
        "categories": [{"id": 1}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(table))
    return Coco(name="coco", images=tmp_path / "images", annotations=tmp_path / "instances.json")


def person(x, score):
    return np.array([[x, 10, x + 40, 50, score, 1]], np.float32)


def test_a_detector_is_asked_for_the_objects_and_for_its_own_answer(coco):
    task = Detection("detector", coco, 0.5)
    # The second person is found 20 pixels aside: not where it is, but where it was found before.
    answers = [person(10, 0.9), person(30, 0.8)]
    found = scores(task, answers, answers, draws=np.array([[1, 1], [2, 0], [0, 2]]))
    assert found["mAP@50"] == pytest.approx([100 * 51 / 101, 100, 0])
    assert found["agreement AP@50"] == pytest.approx([100, 100, 100])
    assert found["agreement AP@[.5:.95]"] == pytest.approx([100, 100, 100])


def test_a_shift_costs_the_strict_thresholds(coco):
    task = Detection("detector", coco, 0.5)
    originals = [person(10, 0.9), person(10, 0.9)]
    # 40 and 40 pixels that share 35: 0.78 of their union.
    found = scores(task, [person(15, 0.9), person(15, 0.9)], originals)
    assert found["agreement AP@50"] == pytest.approx([100])
    assert found["agreement AP@[.5:.95]"] == pytest.approx([60])
    assert found["mAP@[.5:.95]"] == pytest.approx([60])


def test_a_classifier_is_asked_for_the_class_and_for_its_own_answer():
    answers = list(np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]))
    originals = list(np.log([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3]]))
    found = scores(Classification("classifier", {"a.jpg": 0, "b.jpg": 1}), answers, originals)
    assert found["top-1"] == pytest.approx([50])
    assert found["top-5"] == pytest.approx([100])
    assert found["agreement"] == pytest.approx([50])
    assert found["probability of the true class"] == pytest.approx([50])
    divergence = 0.6 * np.log(6 / 7) + 0.3 * np.log(3 / 2) + 0.6 * np.log(2) - 0.3 * np.log(2)
    assert found["KL divergence from the original's answer"] == pytest.approx([divergence / 2])


def test_vectors_are_compared_by_their_angle():
    answers = [np.array([2.0, 0.0]), np.array([0.0, 3.0])]
    originals = [np.array([1.0, 0.0]), np.array([5.0, 0.0])]
    found = scores(Similarity("teacher"), answers, originals, draws=np.array([[1, 1], [2, 0]]))
    assert found["cosine with the original"] == pytest.approx([0.5, 1.0])


def test_label_maps_are_compared_with_those_of_the_originals():
    originals = [np.zeros((4, 4), np.uint8), np.full((2, 8), 15, np.uint8)]
    half = originals[1].copy()
    half[0] = 0
    found = scores(Segmentation("segmenter", 21), [originals[0], half], originals)
    # Background: 16 of 24 pixels; people: 8 of 16.
    assert found["agreement mIoU"] == pytest.approx([100 * (16 / 24 + 8 / 16) / 2])


@pytest.fixture
def voc(tmp_path):
    """Two pictures: a person on background, and a row that does not count."""
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    for key, rows in (("a", [[0, 0, 15, 15]] * 2), ("b", [[255] * 4, [0] * 4])):
        labels = np.array(rows, np.uint8)
        Image.fromarray(labels).save(tmp_path / "SegmentationClass" / f"{key}.png")
    return VocSegmentation(name="voc", folder=tmp_path)


def test_label_maps_are_compared_with_the_truth_where_it_counts(voc):
    # The segmenter's first label is the background, its second a person, its third not in VOC.
    task = Segmentation("segmenter", 3, voc, (0, 15, 0))
    # Half as wide as the truth; one column of two is wrong in the second picture.
    answers = [np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8)]
    found = task.score(["a", "b"], answers, answers, np.array([[1, 1], [2, 0]]))
    assert [metric.name for metric in task.metrics] == ["agreement mIoU", "mIoU"]
    assert found[0] == pytest.approx([100, 100])
    # Background: 4 + 2 found of 8; the person: 4 of 4 + 2.
    assert found[1] == pytest.approx([100 * (6 / 8 + 4 / 6) / 2, 100])


def test_a_detectors_labels_have_the_numbers_of_the_data_set(coco):
    rows = np.array([[10, 10, 50, 50, 0.9, 4], [0, 0, 9, 9, 0.95, 2]], np.float32)
    task = Detection("detector", coco, 0.5, numbers=(-1, -1, -1, -1, 1))
    found = scores(task, [rows, rows], [rows, rows])
    # What the data set has no category for is no false alarm.
    assert found["mAP@50"] == pytest.approx([100])


def test_what_is_not_known_is_not_scored():
    assert len(Classification("classifier", None).metrics) == 2
    assert [one.name for one in Detection("detector", None, 0.5).metrics] == [
        "agreement AP@50",
        "agreement AP@[.5:.95]",
    ]
    rows = person(10, 0.9)
    found = Detection("detector", None, 0.5).score(["a"], [rows], [rows], np.ones((1, 1), int))
    assert found.tolist() == [[100.0], [100.0]]


def test_networks_of_coco_know_all_of_vocs_classes_by_another_name():
    numbers = numbers_of(coco_labels(), VocObjects.categories)
    assert sorted(number for number in numbers if number > 0) == list(range(1, 21))
    names = dict(zip(coco_labels(), numbers, strict=True))
    assert (names["couch"], names["tv"], names["zebra"]) == (18, 20, -1)
