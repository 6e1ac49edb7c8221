"""Analyzers are known by their names."""

from __future__ import annotations

import sys

import pytest

from ugicm_analytics.settings import AnalyticsSettings
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, UnknownAnalyzer
from ugicm_analyzers.registry import ANALYZERS, load_analyzers


def test_every_analyzer_has_the_name_it_is_registered_by():
    assert {name: make().info.name for name, make in ANALYZERS.items()} == {
        name: name for name in ANALYZERS
    }


def test_analyzers_come_in_the_order_of_their_names():
    assert list(load_analyzers(["people", "faces"])) == ["faces", "people"]


def test_an_unknown_name_is_answered_by_those_that_exist():
    with pytest.raises(UnknownAnalyzer, match="'dogs'; there are faces, people"):
        load_analyzers(["faces", "dogs"])


def test_the_default_settings_name_analyzers_that_exist():
    assert set(AnalyticsSettings().analyzers) <= set(ANALYZERS)


def test_two_analyzers_share_no_name(tmp_path):
    with pytest.raises(BadSpecification, match="two analyzers are called 'faces'"):
        load_analyzers(["faces", "faces=torchvision:resnet18:w.pth"])
    assert list(load_analyzers(["faces", "faces"])) == ["faces"]


@pytest.mark.parametrize(
    ("module", "word", "extra"),
    [
        ("onnxruntime", "onnx:w.onnx", "onnx"),
        ("open_clip", "open_clip:ViT-B-32:openai", "open-clip"),
        ("ai_edge_litert", "tflite:w.tflite", "tflite"),
        ("torchvision", "torchvision:resnet18", "torchvision"),
        ("ultralytics", "ultralytics:w.pt", "ultralytics"),
    ],
)
def test_a_missing_package_is_answered_by_what_to_install(monkeypatch, module, word, extra):
    monkeypatch.setitem(sys.modules, module, None)
    for name in [one for one in sys.modules if one.startswith("ugicm_analyzers.adapters.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(AnalyzerUnavailable, match=rf"pip install 'ugicm-analyzers\[{extra}\]'"):
        load_analyzers([f"a={word}"])
