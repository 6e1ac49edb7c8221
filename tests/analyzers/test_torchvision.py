"""torchvision through its adapters says what torchvision says, on networks with random weights.

Reference results come from torchvision's own loader, which takes any file of the right name in its
folder for the one that it would fetch.
"""

from __future__ import annotations

import pickle
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import torchvision_cpu
from tests.analyzers.opening import opened, rows, same_objects
from tests.pictures import scene
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, BadWeights
from ugicm_analyzers.masks import mask_from_pixels, pixels_from_mask

torchvision_cpu.ensure()
from torchvision import models  # noqa: E402


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """Let torchvision find random weights where it keeps what it fetched."""
    before, folder = torch.hub.get_dir(), tmp_path_factory.mktemp("hub")
    torch.hub.set_dir(str(folder))
    (folder / "checkpoints").mkdir()
    yield folder / "checkpoints"
    torch.hub.set_dir(before)


@pytest.fixture(autouse=True)
def one_thread():
    """Let rounding depend on nothing but the batch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def put(folder, model, name, **arguments):
    """Write random weights to where torchvision looks for those of that name; return the file."""
    entry = models.get_model_weights(model)[name]
    path = folder / entry.url.rpartition("/")[2]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = models.get_model(model, weights=None, **arguments)
        if hasattr(network, "rpn"):
            enliven(network)
    torch.save(network.state_dict(), path)
    return path


def enliven(network):
    """Let a detector's random weights tell places apart, and propose few of them."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # what the next pictures have, as it is
    with torch.inference_mode():
        network.backbone(torch.randn(2, 3, 64, 64))
    # Large boxes overlap.
    bias = network.rpn.head.bbox_pred.bias.detach()
    bias[2::4] = bias[3::4] = 2.0


@pytest.fixture(scope="module")
def squeezenet(fetched):
    return put(fetched, "squeezenet1_1", "IMAGENET1K_V1")


@pytest.fixture(scope="module")
def faster_rcnn(fetched):
    return put(
        fetched,
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "COCO_V1",
        weights_backbone=None,
    )


@pytest.fixture(scope="module")
def mask_rcnn(fetched):
    return put(
        fetched,
        "maskrcnn_resnet50_fpn",
        "COCO_V1",
        weights_backbone=None,
    )


@pytest.fixture(scope="module")
def lraspp(fetched):
    return put(
        fetched, "lraspp_mobilenet_v3_large", "COCO_WITH_VOC_LABELS_V1", weights_backbone=None
    )


def as_torchvision_reads(picture):
    return torch.tensor(picture).permute(2, 0, 1)


PICTURES = [scene(70, 90, 1), scene(64, 64, 2), scene(70, 90, 3)]


def test_a_classifier_says_what_torchvision_says(squeezenet):
    entry = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    library = models.squeezenet1_1(weights=entry).eval()
    adapter = opened("a=torchvision:squeezenet1_1")
    with torch.inference_mode():
        expected = [
            library(entry.transforms()(as_torchvision_reads(one))[None]).softmax(1)[0].numpy()
            for one in PICTURES
        ]
    batch = np.exp(adapter.log_probabilities(PICTURES))
    assert np.allclose(batch, expected, rtol=1e-5)
    best = adapter.analyze(PICTURES[:1], ())[0].classifications[0]
    assert best.label == entry.meta["categories"][expected[0].argmax()]
    assert best.score == pytest.approx(expected[0].max(), rel=1e-5)


@pytest.mark.parametrize(
    ("model", "fixture", "shapes"),
    [
        (
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            "faster_rcnn",
            [(70, 90), (64, 64), (70, 90)],
        ),
        # So narrow, it is resized to a twentieth of the usual pixels.
        ("maskrcnn_resnet50_fpn", "mask_rcnn", [(12, 300)]),
    ],
)
def test_a_detector_finds_what_torchvision_finds(request, model, fixture, shapes):
    request.getfixturevalue(fixture)
    entry = models.get_model_weights(model).COCO_V1
    library = models.get_model(model, weights=entry, weights_backbone=None).eval()
    pictures = [scene(*shape, seed) for seed, shape in enumerate(shapes)]
    adapter = opened(f"a=torchvision:{model}")
    for picture in pictures:
        (found,) = adapter.analyze([picture], ())
        with torch.inference_mode():
            (expected,) = library([entry.transforms()(as_torchvision_reads(picture))])
        labels = [entry.meta["categories"][number] for number in expected["labels"]]
        named = [index for index, label in enumerate(labels) if label != "N/A"]
        assert len(named) > 2
        assert [item.label for item in found.detections] == [labels[index] for index in named]
        both = torch.cat([expected["boxes"], expected["scores"][:, None]], 1)[named].numpy()
        assert np.array(rows(found), np.float32).tolist() == both.tolist()
        if "masks" in expected:
            masks = (expected["masks"][named, 0] > 0.5).numpy()
            assert masks.any()
            assert [item.mask for item in found.detections] == [*map(mask_from_pixels, masks)]


# Random weights make more of rounding than trained ones.
def test_a_detector_finds_the_same_alone_and_beside_other_pictures(faster_rcnn):
    adapter = opened(f"a=torchvision:fasterrcnn_mobilenet_v3_large_320_fpn:{faster_rcnn}")
    together = adapter.analyze(PICTURES, ())
    alone = [adapter.analyze([picture], ())[0] for picture in PICTURES]
    assert all(len(found.detections) > 3 for found in together)
    assert all(same_objects(*both, atol=0.01) for both in zip(together, alone, strict=True))


def test_threads_find_what_one_alone_finds(squeezenet):
    adapter = opened(f"a=torchvision:squeezenet1_1:{squeezenet}")
    alone = [adapter.analyze([picture], ()) for picture in PICTURES]
    with ThreadPoolExecutor(3) as executor:
        together = list(executor.map(lambda one: adapter.analyze([one], ()), PICTURES * 3))
    assert together == alone * 3


def test_a_segmenter_says_what_torchvision_says(lraspp):
    entry = models.segmentation.LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
    library = models.segmentation.lraspp_mobilenet_v3_large(weights=entry, weights_backbone=None)
    adapter = opened("a=torchvision:lraspp_mobilenet_v3_large")
    # Its own resolution, so that nothing is resized.
    picture = scene(520, 520, 4)
    with torch.inference_mode():
        output = library.eval()(entry.transforms()(as_torchvision_reads(picture))[None])
    expected = output["out"][0].argmax(0).numpy()
    (found,) = adapter.label_maps([picture])
    assert (found == expected).mean() > 0.9999  # but for ties
    (findings,) = adapter.analyze([picture], ())
    assert {one.label for one in findings.segments} == {
        entry.meta["categories"][number] for number in np.unique(found) if number > 0
    }
    for segment in findings.segments:
        number = entry.meta["categories"].index(segment.label)
        assert (pixels_from_mask(segment.mask, 520, 520) == (found == number)).all()


def test_maps_have_the_sizes_of_their_pictures(lraspp):
    adapter = opened(f"a=torchvision:lraspp_mobilenet_v3_large:{lraspp}")
    assert [one.shape for one in adapter.label_maps(PICTURES)] == [(70, 90), (64, 64), (70, 90)]


def test_layers_that_only_help_training_are_left_out(tmp_path):
    network = models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=2, aux_loss=True
    )
    torch.save(network.state_dict(), tmp_path / "w.pth")
    adapter = opened(
        f"a=torchvision:deeplabv3_mobilenet_v3_large:{tmp_path}/w.pth", labels=("sky", "sea")
    )
    assert adapter.info.labels == ("sky", "sea")


def test_only_the_wanted_labels_are_answered(squeezenet):
    adapter = opened("a=torchvision:squeezenet1_1", only=("tench", "hen"))
    assert adapter.info.labels == ("tench", "hen")
    (found,) = adapter.analyze(PICTURES[:1], ())
    assert {item.label for item in found.classifications} == {"tench", "hen"}


def test_files_of_both_kinds_hold_the_same_network(squeezenet, tmp_path):
    state = torch.load(squeezenet, weights_only=True)
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.pth")
    answers = [
        opened(f"a=torchvision:squeezenet1_1:{path}").log_probabilities(PICTURES[:1])
        for path in (squeezenet, tmp_path / "w.safetensors", tmp_path / "w.pth")
    ]
    assert (answers[0] == answers[1]).all()
    assert (answers[0] == answers[2]).all()


def test_the_version_tells_weights_and_settings_apart(squeezenet, tmp_path):
    state = torch.load(squeezenet, weights_only=True)
    state["classifier.1.bias"][7] += 1
    torch.save(state, tmp_path / "other.pth")
    word = f"a=torchvision:squeezenet1_1:{squeezenet}"
    versions = [
        opened(word).info.version,
        opened(f"a=torchvision:squeezenet1_1:{tmp_path}/other.pth").info.version,
        opened(word, only=("hen",)).info.version,
        opened(word, labels=tuple(map(str, range(1000)))).info.version,
    ]
    assert len(set(versions)) == 4
    assert opened(word, name="b", minimum_score=0.9).info.version == versions[0]
    assert f"torch {torch.__version__}" in versions[0]


class Touches:
    """A pickle that leaves a trace when it is read as code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def write_broken(path, what):
    trace = path.with_name("trace")
    torch.manual_seed(0)
    if what == "noise":
        path.write_bytes(bytes(range(256)) * 9)
    elif what == "nothing":
        path.write_bytes(b"")
    elif what == "code":
        path.write_bytes(pickle.dumps(Touches(trace), protocol=2))
    elif what == "a picture":
        torch.save(torch.zeros(3), path)
    elif what == "another network":
        torch.save(models.mobilenet_v3_small(weights=None).state_dict(), path)
    elif what == "other classes":
        torch.save(models.squeezenet1_1(weights=None, num_classes=5).state_dict(), path)
    return trace


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("what", ["noise", "nothing", "code"])
def test_a_file_without_tensors_is_named_and_not_run(tmp_path, suffix, what):
    path = tmp_path / f"broken{suffix}"
    trace = write_broken(path, what)
    with pytest.raises(BadWeights, match=f"broken{suffix} holds no tensors") as caught:
        opened(f"a=torchvision:squeezenet1_1:{path}")
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("a picture", "holds no state of a network"),
        ("another network", "holds no squeezenet1_1: 52 tensors are missing .*unknown to it"),
        ("other classes", r"2 tensors are of another shape \(such as classifier.1.weight\)"),
    ],
)
def test_tensors_of_another_network_are_told(tmp_path, what, reason):
    path = tmp_path / "other.pth"
    write_broken(path, what)
    with pytest.raises(BadWeights, match=reason) as caught:
        opened(f"a=torchvision:squeezenet1_1:{path}")
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(AnalyzerUnavailable, match=r"absent.pth cannot be read \(No such.*put the"):
        opened(f"a=torchvision:squeezenet1_1:{tmp_path}/absent.pth")


def test_weights_that_cannot_be_fetched_are_named_with_what_to_do(fetched, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(AnalyzerUnavailable, match=r"resnet101-\w+.pth cannot be fetched.*checkpo"):
        opened("a=torchvision:resnet101")
    assert not list(fetched.glob("resnet101*"))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("a=torchvision:resnet9", "no network called 'resnet9'"),
        ("a=torchvision:raft_small", "no network called 'raft_small'"),
        ("a=torchvision:resnet18:BEST", "has the weights IMAGENET1K_V1, DEFAULT, got 'BEST'"),
    ],
)
def test_what_torchvision_lacks_is_named(word, reason):
    with pytest.raises(BadSpecification, match=reason):
        opened(word)


def test_a_device_that_is_not_there_is_named(fetched):
    path = put(fetched, "squeezenet1_1", "DEFAULT")
    count = torch.cuda.device_count()
    with pytest.raises(AnalyzerUnavailable, match=f"no cuda:{count}, PyTorch sees {count} CUDA"):
        opened(f"a=torchvision:squeezenet1_1:{path}", device=f"cuda:{count}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    ("model", "name"), [("squeezenet1_1", "DEFAULT"), ("lraspp_mobilenet_v3_large", "DEFAULT")]
)
def test_another_device_says_the_same_but_for_rounding(fetched, model, name):
    path = put(fetched, model, name)
    text, picture = f"a=torchvision:{model}:{path}", scene(64, 48)
    here, there = (opened(text, device=device) for device in ("cpu", "cuda"))
    assert here.info.version != there.info.version
    if model == "squeezenet1_1":
        np.testing.assert_allclose(
            there.log_probabilities([picture]), here.log_probabilities([picture]), atol=0.05
        )
    else:
        agree = there.label_maps([picture])[0] == here.label_maps([picture])[0]
        assert agree.mean() > 0.95
