"""open_clip through its adapter, on a tiny network with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import torchvision_cpu
from tests.analyzers.opening import opened
from tests.pictures import scene
from ugicm_analyzers.errors import AnalyzerUnavailable, BadLabels, BadSpecification, BadWeights

torchvision_cpu.ensure()
import open_clip  # noqa: E402

TINY = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 64,
        "head_width": 32,
        "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 1,
    },
}
LABELS = ("a cat", "dog", "traffic light")
PICTURES = [scene(40, 60, 1), scene(50, 50, 2)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "tiny-for-tests.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny-for-tests.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.create_model("tiny-for-tests", pretrained=None)
    torch.save(network.state_dict(), folder / "w.pt")
    return folder / "w.pt"


@pytest.fixture(scope="module")
def adapter(weights):
    return opened(f"a=open_clip:tiny-for-tests:{weights}")


def test_it_says_what_open_clip_says(adapter, weights):
    network, _, transforms = open_clip.create_model_and_transforms(
        "tiny-for-tests", pretrained=str(weights)
    )
    tokens = open_clip.get_tokenizer("tiny-for-tests")([f"a photo of a {one}." for one in LABELS])
    with torch.inference_mode():
        text = network.eval().encode_text(tokens, normalize=True)
        image = network.encode_image(
            torch.stack([transforms(Image.fromarray(one)) for one in PICTURES]), normalize=True
        )
        expected = (network.logit_scale.exp() * image @ text.T).softmax(1).numpy()
    assert np.allclose(np.exp(adapter.log_probabilities(PICTURES, LABELS)), expected, atol=1e-6)
    (found, _) = adapter.analyze(PICTURES, LABELS)
    assert [item.label for item in found.classifications] == [
        LABELS[index] for index in np.argsort(-expected[0])
    ]
    assert sum(item.score for item in found.classifications) == pytest.approx(1.0, abs=1e-6)


def test_the_caller_brings_the_labels(adapter):
    assert adapter.info.needs_labels
    assert adapter.info.labels == ()
    adapter.load()


def test_labels_are_encoded_once(adapter, monkeypatch):
    first = adapter.log_probabilities(PICTURES, LABELS)
    monkeypatch.setattr(adapter, "_tokenize", None)
    assert (adapter.log_probabilities(PICTURES, LABELS) == first).all()


def test_the_template_counts_and_is_part_of_the_version(adapter, weights):
    other = opened(f"a=open_clip:tiny-for-tests:{weights}", template="{}, drawn")
    assert other.info.version != adapter.info.version
    answers = [one.log_probabilities(PICTURES, LABELS) for one in (adapter, other)]
    assert not np.allclose(*answers, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((), "1 to 1000 labels are told apart, got 0"),
        (tuple(map(str, range(1001))), "got 1001"),
        (("cat", "dog", "cat"), "a label stands once, got 'cat' 2 times"),
        (("cat", " "), "1 to 200 characters, got ' '"),
        (("x" * 201,), "of 201"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(adapter, labels, reason):
    with pytest.raises(BadLabels, match=reason):
        adapter.analyze(PICTURES, labels)


def test_what_open_clip_lacks_is_named(weights, tmp_path):
    with pytest.raises(BadSpecification, match="no network called 'ViT-Z'"):
        opened(f"a=open_clip:ViT-Z:{weights}")
    with pytest.raises(BadSpecification, match=r"weights of ViT-B-32 \(openai,.*got 'best'"):
        opened("a=open_clip:ViT-B-32:best")
    with pytest.raises(BadSpecification, match="callers bring the labels"):
        opened(f"a=open_clip:tiny-for-tests:{weights}", labels=LABELS)
    with pytest.raises(AnalyzerUnavailable, match=r"absent.pt cannot be read \(No such file"):
        opened(f"a=open_clip:tiny-for-tests:{tmp_path}/absent.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_broken_file_is_named(weights, tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(bytes(range(256)) * 9)
    with pytest.raises(BadWeights, match=f"broken{suffix} holds no tiny-for-tests") as caught:
        opened(f"a=open_clip:tiny-for-tests:{path}")
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_told(weights, tmp_path):
    torch.save({"visual.proj": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(BadWeights, match=r"other.pt holds no .*Missing key") as caught:
        opened(f"a=open_clip:tiny-for-tests:{tmp_path}/other.pt")
    assert "\n" not in str(caught.value)
