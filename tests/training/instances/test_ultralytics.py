"""Real networks of ultralytics with random weights: no accuracy, but every call."""

import importlib.util
import sys
from functools import partialmethod

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.pictures import scene
from ugicm_training.commands.masks import masks
from ugicm_training.errors import MissingPackage, MissingWeights
from ugicm_training.instances import ultralytics_
from ugicm_training.instances.store import MaskStore
from ugicm_training.instances.ultralytics_ import Family, SegmentAnything

installed = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None,
    reason="ultralytics (extra `masks` of ugicm-training) is not installed",
)


@pytest.fixture(autouse=True)
def settings_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    ultralytics_._load.cache_clear()


@pytest.fixture(scope="module")
def fastsam(tmp_path_factory):
    """FastSAM's architecture is YOLO's for segmentation, with one class."""
    ultralytics = pytest.importorskip("ultralytics")
    import torch

    torch.manual_seed(0)
    network = ultralytics.YOLO("yolov8n-seg.yaml")
    path = tmp_path_factory.mktemp("weights") / "FastSAM-tiny.pt"
    network.save(path)
    return path


@installed
def test_masks_cover_the_picture(fastsam):
    network = SegmentAnything(Family.FASTSAM, fastsam, "cpu", side=64, most=5, confidence=0.0)
    found = network.segment("scene.png", scene(60, 90))
    assert found.dtype == bool
    assert found.shape == (5, 60, 90)


@installed
def test_an_instance_nobody_is_sure_of_is_not_returned(fastsam):
    network = SegmentAnything(Family.FASTSAM, fastsam, "cpu", side=64, confidence=1.0)
    assert network.segment("scene.png", scene(60, 90)).shape == (0, 60, 90)


@installed
def test_the_command_writes_what_the_network_finds(fastsam, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(scene(48, 64)).save(photos / "scene.png")
    output = tmp_path / "masks"
    options = ["--segmenter", "fastsam", "--weights", str(fastsam), "-o", str(output)]
    result = CliRunner().invoke(masks, [str(photos), *options], catch_exceptions=False)
    assert result.exit_code == 0
    with MaskStore.open(output) as store:
        assert store.segmenter == "FastSAM, side 1024, confidence 0.4 (FastSAM-tiny.pt)"
        assert store.names() == {"scene.png"}


@installed
@pytest.mark.slow
def test_sam_is_asked_for_everything(tmp_path, monkeypatch):
    import torch
    from ultralytics.models.sam import Predictor
    from ultralytics.models.sam.build import build_mobile_sam

    torch.manual_seed(0)
    network = build_mobile_sam()
    network.mask_decoder.iou_prediction_head.layers[-1].bias.data.fill_(1.0)  # sure of all it says
    path = tmp_path / "mobile_sam.pt"
    torch.save(network.state_dict(), path)
    # Random masks are not stable; and few points take little time.
    anything = partialmethod(Predictor.generate, points_stride=4, stability_score_thresh=-1.0)
    monkeypatch.setattr(Predictor, "generate", anything)
    found = SegmentAnything(Family.SAM, path, "cpu", most=3).segment("scene.png", scene(60, 90))
    assert found.dtype == bool
    assert found.shape[1:] == (60, 90)
    assert 1 <= len(found) <= 3


@installed
@pytest.mark.parametrize("family", Family)
def test_a_file_that_holds_no_weights_is_one_clear_line(tmp_path, family):
    (tmp_path / "mobile_sam.pt").write_bytes(b"junk")
    network = SegmentAnything(family, tmp_path / "mobile_sam.pt", "cpu")
    with pytest.raises(MissingWeights, match=rf"mobile_sam\.pt is no {family} .*") as caught:
        network.check()
    assert "\n" not in str(caught.value)


@installed
def test_weights_of_another_network_are_refused(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "picture.png")
    with pytest.raises(MissingWeights, match=r"picture\.png is no file of weights \(\.pt\)"):
        SegmentAnything(Family.FASTSAM, tmp_path / "picture.png", "cpu").check()


def test_a_path_without_weights_is_never_fetched(tmp_path):
    with pytest.raises(MissingWeights, match=r"no weights at .*/FastSAM-s\.pt"):
        SegmentAnything(Family.FASTSAM, tmp_path / "FastSAM-s.pt", "cpu").check()


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    (tmp_path / "FastSAM-s.pt").write_bytes(b"any")
    with pytest.raises(MissingPackage, match=r"pip install 'ugicm-training\[masks\]'"):
        SegmentAnything(Family.FASTSAM, tmp_path / "FastSAM-s.pt", "cpu").check()
