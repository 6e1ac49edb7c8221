"""A model with weights for either end of the views: each view has its own network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_codec.models.bmshj2018 import ConditionalSynthesis
from ugicm_codec.models.modelfile import read_model_file, serialise_model

PHOTO = scene(80, 112)
VIEWS = [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """The tiny model, another with machine weights in its place, and one that has both."""
    folder = tmp_path_factory.mktemp("models")
    file = read_model_file(tiny)
    generator = torch.Generator().manual_seed(3)
    human = {name: value for name, value in file.tensors.items() if _is_end(name)}
    # A quarter up and down keeps what is positive positive.
    machine = {
        name: value * (0.75 + 0.5 * torch.rand(value.shape, generator=generator)).to(value.dtype)
        for name, value in human.items()
    }
    both = {name.replace("g_s.", "g_s.machine."): value for name, value in machine.items()}
    models = {"human": {}, "machine": machine, "both": both}
    for name, tensors in models.items():
        config = file.config if name != "both" else replace(file.config, two_ended=True)
        data = serialise_model(dict(file.tensors) | tensors, config, {})
        (folder / f"{name}.safetensors").write_bytes(data)
    return {
        name: Codec.load(str(folder / f"{name}.safetensors"), precision=torch.float32)
        for name in models
    }


def test_the_ends_are_the_networks_of_either_end(files):
    stream = files["both"].encode(PHOTO)
    assert stream == files["human"].encode(PHOTO)
    human, machine = files["both"].decode_views(stream, ["human", "machine"])
    np.testing.assert_array_equal(human, files["human"].decode(stream, "human"))
    np.testing.assert_array_equal(machine, files["machine"].decode(stream, "machine"))
    assert np.abs(human.astype(int) - machine).max() > 8


def test_between_the_ends_pictures_move_steadily(files):
    stream = files["both"].encode(PHOTO)
    pictures = [picture.astype(float) for picture in files["both"].decode_views(stream, VIEWS)]
    distances = [np.abs(picture - pictures[0]).mean() for picture in pictures]
    assert distances == sorted(distances)
    assert distances[2] > 0.25 * distances[-1]


def test_a_batch_of_mixed_views_is_what_each_alone_is(files):
    codec = files["both"]
    streams = [codec.encode(scene(80, 112, seed=seed)) for seed in range(5)]
    views = [1.0, 0.0, 0.5, 1.0, 0.0]
    together = codec.decode_batch(streams, views)
    for stream, view, picture in zip(streams, views, together, strict=True):
        alone = codec.decode(stream, view)
        assert np.abs(picture.astype(int) - alone).max() <= 1


def test_gradients_reach_only_the_end_that_a_view_uses(tiny):
    file = read_model_file(tiny)
    synthesis = ConditionalSynthesis(replace(file.config, two_ended=True))
    for view, ends in ((0.0, {"human"}), (0.5, {"human", "machine"}), (1.0, {"machine"})):
        synthesis.zero_grad()
        sum(value.sum() for value in synthesis.weights(view).values()).backward()
        reached = {
            "machine" if name.startswith("machine.") else "human"
            for name, parameter in synthesis.named_parameters()
            if parameter.grad is not None
        }
        assert reached == ends


def _is_end(name):
    return name.startswith("g_s.") and not name.startswith(("g_s.embedding", "g_s.view_terms"))
