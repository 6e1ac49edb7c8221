"""Analyzers as judges: what they find, as arrays."""

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from tests.pictures import scene
from ugicm_analyzers import registry
from ugicm_analyzers.errors import AnalyzerError
from ugicm_analyzers.masks import mask_from_pixels
from ugicm_analyzers.protocol import AnalyzerInfo, Box, Detection, Findings, Task
from ugicm_analyzers.segmenting import Segmenter
from ugicm_evaluation.config import Coco, Pictures, VocSegmentation
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.judges import analyzer as judges
from ugicm_evaluation.judges.analyzer import AnalyzerJudge, Answer
from ugicm_evaluation.metrics.detection import Overlap
from ugicm_evaluation.tasks.choosing import choose_task

PICTURE = scene(30, 40)
INSIDE = np.zeros((30, 40), bool)
INSIDE[5:12, 7:21] = True


def info(task, **given):
    given = {"labels": ("cat", "couch"), "minimum_score": 0.4, **given}
    return AnalyzerInfo(name="eye", task=task, version="v1", **given)


class Detector:
    """Finds one couch, with a mask."""

    mask = mask_from_pixels(INSIDE)

    def __init__(self):
        self.info = info(Task.DETECT)

    def load(self):
        pass

    def analyze(self, pictures, labels):
        return [Findings((Detection("couch", 0.75, Box(7, 5, 21, 12), self.mask),))] * len(pictures)


class BoxDetector(Detector):
    mask = None


class Labeller(Segmenter):
    classes = ("__background__", "couch", "unicorn")

    def __init__(self):
        self.info = info(Task.SEGMENT, labels=self.classes[1:])

    def label_maps(self, pictures):
        return [INSIDE.astype(np.uint8) for _ in pictures]


class Reader(Detector):
    def __init__(self):
        self.info = info(Task.CLASSIFY, labels=(), needs_labels=True)


@pytest.fixture
def open_judge(monkeypatch):
    """Open a judge over one of these analyzers, as if the registry knew it by its name."""
    known = {one.__name__: one for one in (Detector, BoxDetector, Labeller, Reader)}
    monkeypatch.setattr(judges, "ANALYZERS", known)
    monkeypatch.setattr(registry, "ANALYZERS", known)
    return lambda kind, **given: AnalyzerJudge("eye", kind.__name__, **given)


def test_detections_are_rows_of_boxes_and_label_numbers(open_judge):
    judge = open_judge(Detector)
    assert judge.answer is Answer.BOXES
    assert judge.confident == 0.4
    assert judge.look(PICTURE).tolist() == [[7, 5, 21, 12, 0.75, 1]]


def test_masks_are_cocos(open_judge):
    judge = open_judge(Detector, shapes=Answer.MASKS)
    (found,) = judge.look(PICTURE)
    mask = coco_masks.decode({"size": found["size"].tolist(), "counts": bytes(found["counts"])})
    assert (mask == INSIDE).all()
    assert (found["category"], found["score"]) == (1, 0.75)


def test_label_maps_are_the_analyzers(open_judge):
    judge = open_judge(Labeller)
    assert judge.labels == Labeller.classes
    assert (judge.look(PICTURE) == INSIDE).all()


def test_masks_of_a_detector_that_knows_none_are_refused(open_judge):
    with pytest.raises(BadJudge, match="eye was asked for masks, and finds boxes alone"):
        open_judge(BoxDetector, shapes=Answer.MASKS).look(PICTURE)


@pytest.mark.parametrize(
    ("kind", "labels", "complaint"),
    [
        (Reader, (), "eye: Reader needs labels to tell apart"),
        (Detector, ("dog",), "has labels of its own, and was given others"),
        (Reader, ("dog",), "gives no probabilities"),
    ],
)
def test_an_analyzer_that_cannot_be_asked_is_named(open_judge, kind, labels, complaint):
    with pytest.raises(BadJudge, match=complaint):
        open_judge(kind, labels=labels)


def test_an_unknown_analyzer_is_named():
    with pytest.raises(AnalyzerError, match="got 'magic'"):
        AnalyzerJudge("eye", "magic:weights")


def test_what_decides_the_answers_tells_versions_apart(open_judge):
    boxes, masks = open_judge(Detector), open_judge(Detector, shapes=Answer.MASKS)
    assert boxes.weights_hash != masks.weights_hash


@pytest.fixture
def coco(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [],'
        ' "categories": [{"id": 63, "name": "couch"}]}'
    )
    return Coco(name="coco", images=tmp_path, annotations=path)


def test_a_detector_is_scored_by_the_names_of_the_categories(open_judge, coco):
    task = choose_task("eye", open_judge(Detector, shapes=Answer.MASKS), coco)
    assert (task.truth, task.numbers, task.overlap) == (coco, (-1, 63), Overlap.MASKS)
    assert task.confident == 0.4


def test_a_segmenter_calls_background_what_voc_has_no_label_for(open_judge, tmp_path):
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    task = choose_task("eye", open_judge(Labeller), VocSegmentation(name="voc", folder=tmp_path))
    assert task.numbers == (0, 18, 0)


def test_without_truth_a_judge_is_compared_with_itself(open_judge, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    task = choose_task("eye", open_judge(Detector), Pictures(name="any", folder=tmp_path))
    assert task.truth is None
    assert len(task.metrics) == 2


def test_a_judge_without_a_category_of_the_data_set_is_refused(open_judge, tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [],'
        ' "categories": [{"id": 1, "name": "zebra"}]}'
    )
    config = Coco(name="coco", images=tmp_path, annotations=path)
    with pytest.raises(BadJudge, match="eye and coco have no category in common"):
        choose_task("eye", open_judge(Detector), config)
