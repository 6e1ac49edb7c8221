"""Judges with their real weights on real pictures, and what they say of files that are none."""

import numpy as np
import pytest

from tests.evaluation.shared_data import SHARED_DATA, needs_shared_data
from tests.pictures import noise
from ugicm_evaluation.datasets.coco import CocoFolder
from ugicm_evaluation.datasets.imagenet import LabelledFolder
from ugicm_evaluation.datasets.protocol import read_picture
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.judges.classifiers import TorchvisionClassifier
from ugicm_evaluation.judges.deeplab import DeepLab
from ugicm_evaluation.judges.fastestdet import FastestDet
from ugicm_evaluation.judges.yolox import Yolox
from ugicm_evaluation.metrics.detection import match, mean_average_precision

WEIGHTS = SHARED_DATA / "weights"


def squeezenet():
    return TorchvisionClassifier("squeezenet1_1", WEIGHTS / "squeezenet1_1.safetensors")


def yolox():
    return Yolox(WEIGHTS / "yolox_nano.onnx")


def fastestdet():
    return FastestDet(WEIGHTS / "FastestDet.onnx")


def deeplab():
    return DeepLab(WEIGHTS / "deeplabv3_mnv2_pascal_quant.tflite")


@needs_shared_data
def test_the_classifier_is_as_good_as_its_weights_are_known_to_be():
    judge, dataset = squeezenet(), LabelledFolder(SHARED_DATA / "imagenet")
    samples = dataset.samples[::2]
    right = [
        judge.look(read_picture(one.path)).argmax() == dataset.classes[one.key] for one in samples
    ]
    assert 0.58 <= np.mean(right) <= 0.75  # 65 % on 250 photos, by those who converted it


# Published for val2017: 25.8 (AP) and 25.3 (AP50). Blue and red exchanged cost 5 points and more.
@needs_shared_data
@pytest.mark.parametrize(
    ("open_judge", "thresholds", "least"),
    [(yolox, np.linspace(0.5, 0.95, 10), 0.25), (fastestdet, [0.5], 0.25)],
)
def test_a_detector_is_as_good_as_published(open_judge, thresholds, least):
    judge, dataset = open_judge(), CocoFolder(SHARED_DATA / "coco")
    answers = {
        dataset.image_ids[one.key]: judge.look(read_picture(one.path)) for one in dataset.samples
    }
    matches = match(dataset.truth, answers, thresholds=thresholds)
    precision = mean_average_precision(matches, np.ones((1, len(answers)), np.int64))
    assert least <= precision.mean() <= least + 0.1


@needs_shared_data
def test_the_segmenter_finds_the_people_that_are_annotated():
    judge, dataset = deeplab(), CocoFolder(SHARED_DATA / "coco")
    truth, person = dataset.truth, 15  # PASCAL VOC's number
    image_id = max(
        truth.imgs,
        key=lambda one: sum(
            a["area"] for a in truth.imgToAnns[one] if a["category_id"] == 1 and not a["iscrowd"]
        ),
    )
    name = next(key for key, number in dataset.image_ids.items() if number == image_id)
    labels = judge.look(read_picture(SHARED_DATA / "coco" / "images" / name))
    masks = [truth.annToMask(a) for a in truth.imgToAnns[image_id] if a["category_id"] == 1]
    rows, columns = (
        np.linspace(0, n - 1, m).round().astype(int)
        for n, m in zip(masks[0].shape, labels.shape, strict=True)
    )
    people = np.max(masks, axis=0)[rows][:, columns] > 0
    found = labels == person
    assert (people & found).sum() / (people | found).sum() > 0.7


@needs_shared_data
@pytest.mark.parametrize("open_judge", [squeezenet, yolox, fastestdet, deeplab])
@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (700, 40)])
def test_any_picture_gets_an_answer(open_judge, shape):
    assert np.isfinite(open_judge().look(noise(*shape))).all()


@pytest.mark.parametrize(
    "open_judge",
    [
        lambda path: TorchvisionClassifier("squeezenet1_1", path),
        Yolox,
        FastestDet,
        DeepLab,
    ],
    ids=["squeezenet", "yolox", "fastestdet", "deeplab"],
)
def test_a_file_that_holds_no_network_is_named(open_judge, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"not a network" * 100)
    with pytest.raises(BadJudge, match=r"weights holds no "):
        open_judge(path)
    with pytest.raises(BadJudge, match=r"absent cannot be read: No such file"):
        open_judge(tmp_path / "absent")


def test_an_architecture_that_torchvision_lacks_is_named(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"")
    with pytest.raises(BadJudge, match="holds no squeezenet9: Unknown model"):
        TorchvisionClassifier("squeezenet9", path)


@needs_shared_data
def test_another_network_is_told_by_its_input():
    with pytest.raises(BadJudge, match=r"shape \(1, 3, 352, 352\), expected"):
        Yolox(WEIGHTS / "FastestDet.onnx")
