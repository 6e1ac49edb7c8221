"""ultralytics through its adapter, on networks with random weights."""

from __future__ import annotations

import importlib.util
import os
import pickle

import numpy as np
import pytest
import torch

import torchvision_cpu
from tests.analyzers.opening import opened, rows, same_objects
from tests.pictures import scene
from ugicm_analyzers.errors import AnalyzerUnavailable, BadWeights
from ugicm_analyzers.masks import mask_from_pixels

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None,
    reason="needs ultralytics (AGPL-3.0): pip install 'ugicm-analyzers[ultralytics]'",
)

PICTURES = [scene(70, 90, 1), scene(64, 64, 2), scene(70, 90, 3)]


@pytest.fixture(scope="module")
def yolo(tmp_path_factory):
    """Return the class, of a library that asks no network and writes only into a folder."""
    folder = tmp_path_factory.mktemp("ultralytics")
    patch = pytest.MonkeyPatch()
    patch.setenv("YOLO_CONFIG_DIR", str(folder))
    patch.setenv("YOLO_OFFLINE", "true")
    patch.setenv("YOLO_AUTOINSTALL", "false")
    patch.setenv("YOLO_VERBOSE", "false")
    patch.setenv("ULTRALYTICS_SAFE_LOAD", "true")
    torchvision_cpu.ensure()
    yield importlib.import_module("ultralytics").YOLO
    patch.undo()


@pytest.fixture(scope="module")
def weights(yolo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")

    def write(architecture):
        path = folder / f"{architecture}.pt"
        if not path.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                network = yolo(f"{architecture}.yaml")
            if network.task != "classify":
                enliven(network.model)
            network.save(path)
        return path

    return write


def enliven(network):
    """Let random weights tell places apart, and be sure enough of some."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.inference_mode():
        network(torch.rand(2, 3, 64, 64))
    network.eval()
    for branch in network.model[-1].cv3:
        branch[-1].bias.data.fill_(-2.0)
        branch[-1].weight.data.mul_(20.0)


@pytest.mark.parametrize("architecture", ["yolov8n", "yolov8n-seg", "yolov3-tinyu", "yolo11n"])
def test_it_finds_what_ultralytics_finds(yolo, weights, architecture):
    path = weights(architecture)
    library, adapter = yolo(path), opened(f"a=ultralytics:{path}")
    for picture in PICTURES[:2]:
        (found,) = adapter.analyze([picture], ())
        (expected,) = library.predict(
            np.ascontiguousarray(picture[..., ::-1]),
            conf=0.05,
            max_det=100,
            retina_masks=True,
            device="cpu",
            verbose=False,
        )
        assert len(found.detections) == len(expected.boxes) > 3
        labels = [expected.names[int(number)] for number in expected.boxes.cls]
        assert [item.label for item in found.detections] == labels
        both = torch.cat([expected.boxes.xyxy, expected.boxes.conf[:, None]], 1)
        assert np.array(rows(found), np.float32).tolist() == both.tolist()
        if architecture.endswith("-seg"):
            masks = expected.masks.data.numpy() > 0.5
            assert [item.mask for item in found.detections] == [*map(mask_from_pixels, masks)]


def test_it_finds_the_same_alone_and_beside_other_pictures(weights):
    adapter = opened(f"a=ultralytics:{weights('yolov8n')}")
    together = adapter.analyze(PICTURES, ())
    alone = [adapter.analyze([picture], ())[0] for picture in PICTURES]
    assert all(len(found.detections) > 3 for found in together)
    assert all(same_objects(*both, atol=0.01) for both in zip(together, alone, strict=True))


def test_it_tells_what_it_is(weights):
    info = opened(f"a=ultralytics:{weights('yolov8n')}", only=("7",)).info
    assert info.labels == ("7",)
    assert info.minimum_score == 0.25
    assert "ultralytics 8" in info.version


class Touches:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_broken_file_is_named_and_not_run(yolo, tmp_path):
    trace = tmp_path / "trace"
    (tmp_path / "code.pt").write_bytes(pickle.dumps({"model": Touches(str(trace))}, protocol=2))
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)) * 9)
    for name in ("code.pt", "noise.pt"):
        with pytest.raises(BadWeights, match=f"{name} holds no network of ultra") as caught:
            opened(f"a=ultralytics:{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_networks_of_another_task_are_told(weights):
    with pytest.raises(BadWeights, match="for the task classify; there are adapters for detect"):
        opened(f"a=ultralytics:{weights('yolov8n-cls')}")


def test_what_is_not_here_is_named_with_what_to_do(yolo, tmp_path, monkeypatch):
    with pytest.raises(AnalyzerUnavailable, match=r"absent.pt cannot be read \(No such file"):
        opened(f"a=ultralytics:{tmp_path}/absent.pt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnalyzerUnavailable, match=r"yolov8x.pt is not here.*YOLO_OFFLINE=false"):
        opened("a=ultralytics:yolov8x.pt")


# Of PyTorch's own, which ultralytics calls and some versions of PyTorch warn about; and of sizes
# that the exported network takes as constants, as it shall.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_an_export_finds_what_ultralytics_finds_in_it(yolo, weights, tmp_path):
    path = tmp_path / "network.pt"
    path.write_bytes(weights("yolov8n").read_bytes())
    exported = yolo(path).export(format="onnx", imgsz=160, simplify=False, opset=17)
    library, adapter = yolo(exported, task="detect"), opened(f"a=onnx:{exported}")
    for picture in PICTURES:
        (found,) = adapter.analyze([picture], ())
        (expected,) = library.predict(
            np.ascontiguousarray(picture[..., ::-1]),
            conf=0.05,
            max_det=100,
            imgsz=160,
            device="cpu",
            verbose=False,
        )
        both = torch.cat([expected.boxes.xyxy, expected.boxes.conf[:, None]], 1)
        assert len(both) > 3
        assert np.array(rows(found), np.float32).tolist() == both.tolist()
