"""The names of networks' classes."""

from __future__ import annotations

import pytest

from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, BadWeights
from ugicm_analyzers.labels import (
    answerable,
    coco_labels,
    imagenet_labels,
    network_labels,
    specified_labels,
    voc_labels,
)
from ugicm_analyzers.specification import Kind, Specification


def specification(**values):
    return Specification(name="mine", kind=Kind.ONNX, weights="net.onnx", **values)


def test_lists_are_the_data_sets_own():
    assert (len(coco_labels()), coco_labels()[0], coco_labels()[-1]) == (80, "person", "toothbrush")
    assert (len(imagenet_labels()), imagenet_labels()[0]) == (1000, "tench")
    assert (len(voc_labels()), voc_labels()[:2]) == (21, ("__background__", "aeroplane"))
    for labels in (coco_labels(), imagenet_labels(), voc_labels()):
        assert len(set(labels)) == len(labels)


def test_a_network_is_known_by_the_number_of_its_classes_unless_labels_are_given():
    assert network_labels(specification(), 80) == coco_labels()
    assert network_labels(specification(), 2, own=("cat", "dog")) == ("cat", "dog")
    given = specification(labels=("hot", "cold"))
    assert network_labels(given, 2, own=("cat", "dog")) == ("hot", "cold")
    with pytest.raises(BadSpecification, match="nothing names the network's 7 classes"):
        network_labels(specification(), 7)


def test_labels_of_another_network_are_counted():
    with pytest.raises(BadWeights, match="tells 3 classes apart, and there are 80 labels"):
        network_labels(specification(labels="coco"), 3)


def test_labels_stand_in_a_file_one_in_each_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cat\nhot dog\n")
    assert specified_labels(specification(labels=str(path))) == ("cat", "hot dog")
    with pytest.raises(AnalyzerUnavailable, match=r"absent.txt cannot be read.*coco, imagenet"):
        specified_labels(specification(labels=str(tmp_path / "absent.txt")))


@pytest.mark.parametrize(
    ("labels", "reason"), [(("a", "b", "a"), "'a' stands twice"), (("a", ""), "one is empty")]
)
def test_labels_tell_classes_apart(labels, reason):
    with pytest.raises(BadSpecification, match=reason):
        specified_labels(specification(labels=labels))


def test_what_is_no_object_is_no_answer():
    labels = ("__background__", "cat", "N/A", "dog")
    assert answerable(specification(), labels) == ("cat", "dog")
    assert answerable(specification(only=("dog",)), labels) == ("dog",)
    with pytest.raises(BadSpecification, match="only names 'cow', which is none of its 2 labels"):
        answerable(specification(only=("dog", "cow")), labels)
