"""What settings and model folders say of an analyzer."""

from __future__ import annotations

import msgspec
import pytest

from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification
from ugicm_analyzers.specification import (
    Kind,
    Preprocessing,
    Specification,
    parse_specification,
)


def folder_with(tmp_path, text):
    (tmp_path / "analyzer.toml").write_text(text)
    return f"mine={tmp_path}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("faces", Specification(name="faces", kind=Kind.EMBEDDED)),
        (
            "a=torchvision:resnet101",
            Specification(name="a", kind=Kind.TORCHVISION, model="resnet101"),
        ),
        (
            "a=torchvision:resnet101:/w/x.pth",
            Specification(name="a", kind=Kind.TORCHVISION, model="resnet101", weights="/w/x.pth"),
        ),
        (
            "a=open_clip:ViT-B-32:laion2b_s34b_b79k",
            Specification(
                name="a", kind=Kind.OPEN_CLIP, model="ViT-B-32", weights="laion2b_s34b_b79k"
            ),
        ),
        ("a=onnx:w.onnx", Specification(name="a", kind=Kind.ONNX, weights="w.onnx")),
        (
            "a=ultralytics:yolov3u.pt",
            Specification(name="a", kind=Kind.ULTRALYTICS, weights="yolov3u.pt"),
        ),
    ],
)
def test_a_word_says_what_an_analyzer_is_made_of(text, expected):
    assert parse_specification(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=torchvision:resnet101", "NAME=WHAT, got '=torchvision:resnet101'"),
        ("a=", "NAME=WHAT, got 'a='"),
        ("a=caffe:net", "there are onnx, .*ultralytics or a folder, got 'caffe'"),
        ("a=embedded:faces", "got 'embedded'"),
    ],
)
def test_a_word_that_says_nothing_is_answered_by_what_there_is(text, reason):
    with pytest.raises(BadSpecification, match=reason):
        parse_specification(text)


def test_a_folder_holds_more_than_fits_into_a_word(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    word = folder_with(
        tmp_path,
        """
        kind = "onnx"
        weights = "net.onnx"
        labels = "names.txt"
        only = ["cat"]
        minimum_score = 0.25
        least_score = 0.001
        [preprocessing]
        resize = 40
        crop = 32
        mean = [0.5, 0.5, 0.5]
        """,
    )
    assert parse_specification(word) == Specification(
        name="mine",
        kind=Kind.ONNX,
        weights=str(tmp_path / "net.onnx"),
        labels=str(tmp_path / "names.txt"),
        only=("cat",),
        minimum_score=0.25,
        least_score=0.001,
        preprocessing=Preprocessing(resize=40, crop=32, mean=(0.5, 0.5, 0.5)),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind = 'onnx'\nwieghts = 'x'", "unknown field `wieghts`"),
        ("weights = 'x'", "missing required field `kind`"),
        ("kind = 'caffe'", "Invalid enum value 'caffe'"),
        (
            "kind = 'onnx'\nleast_score = 'much'",
            r"Expected `float`, got `str`",
        ),
        ("kind = 'onnx'\nleast_score = 1.5", "least_score is from 0 to 1, got 1.5"),
        ("kind = 'onnx'\ntemplate = 'a photo'", "the template has one {}, got 'a photo'"),
        ("kind = 'onnx'\n[preprocessing]\ncrop = 300", "at most resize = 256 .*got crop = 300"),
        ("kind = 'onnx'\n[preprocessing]\ndeviation = [0, 1, 1]", "deviation is above 0"),
        ("kind = 'onnx'\ndevice = 'gpu'", "a device is cpu, cuda or cuda:NUMBER, got 'gpu'"),
        ("kind = 'tflite'\ndevice = 'cuda'", "tflite computes on the cpu only, got 'cuda'"),
        ("kind", "is no TOML"),
    ],
)
def test_what_is_wrong_in_a_folder_is_named_with_its_file(tmp_path, text, reason):
    with pytest.raises(BadSpecification, match=f"analyzer.toml.*{reason}") as caught:
        parse_specification(folder_with(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(AnalyzerUnavailable, match=r"analyzer.toml cannot be read \(No such"):
        parse_specification(f"a={tmp_path}/nowhere")


def test_a_specification_travels_to_other_processes(tmp_path):
    specification = parse_specification("a=torchvision:resnet101:/w/x.pth")
    assert msgspec.convert(msgspec.to_builtins(specification), Specification) == specification
