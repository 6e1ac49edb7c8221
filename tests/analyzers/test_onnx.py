"""Exported networks: what their numbers mean is worked out by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from tests.analyzers.graphs import classifier, steady, write
from tests.analyzers.opening import opened
from tests.pictures import noise, scene
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, BadWeights
from ugicm_analyzers.labels import coco_labels
from ugicm_analyzers.protocol import Box, Task
from ugicm_analyzers.specification import Preprocessing

LABELS = ("cat", "dog")


def detect(path, picture, **changes):
    (found,) = opened(f"a=onnx:{path}", **changes).analyze([picture], ())
    return [
        (item.label, round(item.score, 4), [round(side, 3) for side in sides(item.box)])
        for item in found.detections
    ]


def sides(box):
    return box.left, box.top, box.right, box.bottom


def test_yolox_is_decoded_and_each_object_is_found_once(tmp_path):
    raw = np.full((1, 21, 7), -9.0, np.float32)
    raw[..., 4:] = 0.0
    # At stride 8, column 1 and row 2: 8 pixels wide and high, and twice on the same object.
    raw[0, 9] = [0.5, 0.5, 0.0, 0.0, 0.9, 0.5, 1.0]
    raw[0, 10] = [-0.5, 0.5, 0.0, 0.0, 0.8, 0.0, 1.0]
    # At stride 16, column 0 and row 0.
    raw[0, 16] = [0.25, 0.25, np.log(0.5), np.log(0.5), 0.5, 0.5, 0.0]
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"output": raw})
    # 64 pixels are shrunk to 32.
    assert detect(path, noise(64, 64), labels=LABELS) == [
        ("dog", 0.9, [16, 32, 32, 48]),
        ("cat", 0.45, [16, 32, 32, 48]),
        ("cat", 0.25, [0, 0, 16, 16]),
    ]
    assert detect(path, noise(64, 64), labels=LABELS, least_score=0.3, only=("cat",)) == [
        ("cat", 0.45, [16, 32, 32, 48])
    ]


def test_ultralytics_exports_are_decoded_out_of_their_frame(tmp_path):
    raw = np.zeros((1, 6, 21), np.float32)
    raw[0, :, 3] = [16, 16, 8, 4, 0.1, 0.75]
    names = {"names": "{0: 'cat', 1: 'dog'}"}
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"output0": raw}, metadata=names)
    # Shrunk to 16 rows, with 8 of grey above and below.
    assert detect(path, noise(32, 64)) == [("dog", 0.75, [24, 12, 40, 20])]
    assert opened(f"a=onnx:{path}").info.labels == LABELS
    assert opened(f"a=onnx:{path}", labels=("hot", "cold")).info.labels == ("hot", "cold")


def test_ultralytics_exports_of_any_size_are_known_by_what_is_written_in_them(tmp_path):
    raw = np.zeros((1, 6, 21), np.float32)
    raw[0, :, 3] = [16, 16, 8, 4, 0.1, 0.75]
    written = {"names": "{0: 'cat', 1: 'dog'}", "task": "detect", "imgsz": "[32, 32]"}
    path = steady(
        tmp_path / "w.onnx",
        ["n", 3, "height", "width"],
        {"output0": raw},
        sizes_of_outputs=["n", "rows", "places"],
        metadata=written,
    )
    assert detect(path, noise(32, 64)) == [("dog", 0.75, [24, 12, 40, 20])]
    path = steady(
        tmp_path / "w.onnx",
        [1, 3, 32, 32],
        {"output0": raw},
        metadata=written | {"names": "{0: 'cat"},
    )
    with pytest.raises(BadWeights, match=r"w.onnx: its names are damaged: .*cat"):
        opened(f"a=onnx:{path}")


def test_ultralytics_exports_that_suppress_by_themselves_are_read_as_they_are(tmp_path):
    raw = np.zeros((1, 300, 6), np.float32)
    raw[0, 0] = [12, 14, 20, 18, 0.75, 1]
    raw[0, 1] = [12, 14, 20, 18.5, 0.5, 1]
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"output0": raw}, metadata={})
    assert detect(path, noise(32, 64), labels=LABELS) == [
        ("dog", 0.75, [24, 12, 40, 20]),
        ("dog", 0.5, [24, 12, 40, 21]),
    ]


def test_fastestdet_is_decoded(tmp_path):
    raw = np.zeros((1, 7, 2, 2), np.float32)
    raw[0, :, 1, 1] = [0.81, 0.0, 0.0, 0.0, -np.log(3), 0.1, 0.64]
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"758": raw})
    score = round(0.81**0.6 * 0.64**0.4, 4)
    # In the middle, half as wide and a quarter as high as the picture.
    assert detect(path, noise(40, 80), labels=LABELS) == [("dog", score, [20, 15, 60, 25])]


def boxes_labels_scores(*numbers):
    return {
        "boxes": np.array([[1, 2, 11, 12], [4, 4, 8, 8], [0, 0, 40, 40]], np.float32),
        "labels": np.array(numbers, np.int64),
        "scores": np.array([0.5, 0.75, 0.01], np.float32),
    }


def test_torchvision_exports_number_their_labels_from_one(tmp_path):
    outputs = boxes_labels_scores(1, 2, 1)
    path = steady(tmp_path / "any.onnx", [3, "height", "width"], outputs)
    assert detect(path, noise(30, 30), labels=LABELS) == [
        ("dog", 0.75, [4, 4, 8, 8]),
        ("cat", 0.5, [1, 2, 11, 12]),
    ]
    assert [label for label, *_ in detect(path, noise(30, 30))] == ["bicycle", "person"]
    assert opened(f"a=onnx:{path}").info.labels == coco_labels()
    # Exported for one size, pictures of others are resized to it, and boxes back.
    path = steady(tmp_path / "fixed.onnx", [3, 16, 16], outputs)
    assert detect(path, noise(16, 32), labels=LABELS)[0] == ("dog", 0.75, [8, 4, 16, 8])


def test_exports_that_are_told_the_size_number_their_labels_from_zero(tmp_path):
    outputs = {name: value[None] for name, value in boxes_labels_scores(0, 1, 0).items()}
    path = steady(tmp_path / "w.onnx", ["n", 3, 16, 16], outputs, sizes="orig_target_sizes")
    assert detect(path, noise(16, 32))[0] == ("bicycle", 0.75, [4, 4, 8, 8])


def test_boxes_end_at_the_edges_of_the_picture(tmp_path):
    path = steady(tmp_path / "w.onnx", [3, "h", "w"], boxes_labels_scores(1, 1, 1))
    (found,) = opened(f"a=onnx:{path}", least_score=0.0).analyze([noise(10, 9)], ())
    assert [item.box for item in found.detections] == [
        Box(4, 4, 8, 8),
        Box(1, 2, 9, 10),
        Box(0, 0, 9, 10),
    ]


@pytest.mark.parametrize("softmax", [False, True], ids=["logits", "probabilities"])
@pytest.mark.parametrize("batch", [1, "n"])
def test_a_classifier_gives_probabilities(tmp_path, softmax, batch):
    path = tmp_path / "w.onnx"
    weights = classifier(path, batch=batch, side=32, classes=2, softmax=softmax)
    adapter = opened(
        f"a=onnx:{path}",
        labels=LABELS,
        preprocessing=Preprocessing(resize=32, crop=32, mean=(0.5, 0.4, 0.3)),
    )
    assert adapter.info.task is Task.CLASSIFY
    pictures = [scene(32, 32, seed) for seed in range(3)]
    expected = []
    for picture in pictures:
        colour = (picture.mean((0, 1)) / 255 - [0.5, 0.4, 0.3]) / [0.229, 0.224, 0.225]
        expected.append(torch.tensor(colour @ weights).softmax(0).numpy())
    assert np.allclose(np.exp(adapter.log_probabilities(pictures)), expected, atol=1e-5)
    (found,) = adapter.analyze(pictures[:1], ())
    assert [item.label for item in found.classifications] == [
        LABELS[index] for index in np.argsort(-expected[0])
    ]


def test_threads_find_what_one_alone_finds(tmp_path):
    path = tmp_path / "w.onnx"
    classifier(path, batch="n", side=32, classes=2, softmax=False)
    adapter = opened(f"a=onnx:{path}", labels=LABELS)
    pictures = [scene(40 + seed, 50, seed) for seed in range(8)]
    alone = [adapter.analyze([picture], ()) for picture in pictures]
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(lambda one: adapter.analyze([one], ()), pictures)) == alone


def test_classes_without_a_label_are_told(tmp_path):
    path = steady(tmp_path / "w.onnx", [3, "h", "w"], boxes_labels_scores(1, 9, 1))
    with pytest.raises(BadWeights, match="the classes 1 to 9, and there are 3 labels"):
        opened(f"a=onnx:{path}", labels=LABELS).load()
    raw = np.zeros((1, 7, 2, 2), np.float32)
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"output": raw})
    with pytest.raises(BadWeights, match="tells 2 classes apart, and there are 80 labels"):
        opened(f"a=onnx:{path}", labels="coco")
    with pytest.raises(BadSpecification, match="nothing names the network's 2 classes"):
        opened(f"a=onnx:{path}")


@pytest.mark.parametrize(
    "outputs",
    [
        {"out": (1, 5, 7)},
        {"out": (1, 3, 8, 8), "proto": (1, 32, 8, 8)},
        {"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)},
    ],
)
def test_outputs_of_no_known_layout_are_named(tmp_path, outputs):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], arrays)
    shape = "x".join(map(str, next(iter(outputs.values()))))
    with pytest.raises(BadWeights, match=rf"its outputs \(\w+ {shape}.*\) are none of YOLOX's"):
        opened(f"a=onnx:{path}")


def test_a_file_that_holds_no_network_of_pictures_is_named(tmp_path):
    (tmp_path / "noise.onnx").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(BadWeights, match=r"noise.onnx holds no network \(.*\): export it again"):
        opened(f"a=onnx:{tmp_path}/noise.onnx")
    with pytest.raises(AnalyzerUnavailable, match=r"absent.onnx cannot be read \(No such file"):
        opened(f"a=onnx:{tmp_path}/absent.onnx")
    path = write(
        tmp_path / "text.onnx",
        [helper.make_node("Identity", ["tokens"], ["out"])],
        [("tokens", onnx.TensorProto.INT64, [1, 77])],
        [("out", onnx.TensorProto.INT64, [1, 77])],
    )
    with pytest.raises(BadWeights, match=r"takes pictures .* got \[1, 77\] of tensor\(int64\)"):
        opened(f"a=onnx:{path}")


def test_a_crop_of_another_size_than_the_network_takes_is_told(tmp_path):
    classifier(tmp_path / "w.onnx", batch=1, side=32, classes=2, softmax=False)
    with pytest.raises(BadSpecification, match="takes 32 pixels, got crop = 224"):
        opened(f"a=onnx:{tmp_path}/w.onnx", labels=LABELS, preprocessing=Preprocessing())


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there"
)
def test_a_device_that_the_library_cannot_use_is_named(tmp_path):
    path = steady(tmp_path / "w.onnx", [1, 3, 32, 32], {"output": np.zeros((1, 2), np.float32)})
    with pytest.raises(AnalyzerUnavailable, match="has no cuda:1: install onnxruntime-gpu"):
        opened(f"a=onnx:{path}", labels=LABELS, device="cuda:1")
