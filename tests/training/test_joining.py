"""A model is made of two that were trained apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load

from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_codec.models.modelfile import read_model_file, serialise_model
from ugicm_training.cli import cli

TINY = Path(__file__).parents[1] / "golden" / "v1" / "tiny.safetensors"
CHANGED = {"human": "g_s.output.weight", "machine": "g_s.machine.output.weight"}


def changed(name, path, *, by=0.75, **training):
    """Write the bundled model with one tensor scaled."""
    file = read_model_file("default")
    tensors = {**file.tensors, name: (file.tensors[name].float() * by).to(file.tensors[name].dtype)}
    path.write_bytes(serialise_model(tensors, file.config, training))
    return path


def command(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def pixels(model, view, stream):
    return Codec.load(str(model), precision=torch.float32).decode(stream, view)


@pytest.fixture
def ends(tmp_path):
    return (
        changed(CHANGED["human"], tmp_path / "human.safetensors", epochs=3),
        changed(CHANGED["machine"], tmp_path / "machine.safetensors", epochs=5),
    )


def test_each_view_is_that_of_the_file_it_came_from(ends, tmp_path):
    human, machine = ends
    joined = tmp_path / "joined.safetensors"
    assert command("join", human, machine, "-o", joined).exit_code == 0
    stream = Codec.load("default").encode(scene(64, 96), 50)
    ours = [pixels(joined, view, stream) for view in ("human", "machine")]
    assert np.array_equal(ours[0], pixels(human, "human", stream))
    assert np.array_equal(ours[1], pixels(machine, "machine", stream))
    assert not np.array_equal(ours[0], pixels(machine, "human", stream))
    assert not np.array_equal(ours[1], pixels(human, "machine", stream))


def test_streams_and_both_records_stay(ends, tmp_path):
    human, machine = ends
    joined = tmp_path / "joined.safetensors"
    assert command("join", human, machine, "-o", joined).exit_code == 0
    info = read_model_file(str(joined)).info
    assert info.latents_id == read_model_file("default").info.latents_id
    assert info.training == {"epochs": 5, "human_end": {"epochs": 3}}


def test_a_model_of_one_end_gives_its_human_view(tmp_path):
    file = read_model_file("default")
    one_end = {name: value for name, value in file.tensors.items() if ".machine." not in name}
    path, joined = tmp_path / "one.safetensors", tmp_path / "joined.safetensors"
    path.write_bytes(serialise_model(one_end, replace(file.config, two_ended=False), {}))
    assert command("join", path, "default", "-o", joined).exit_code == 0
    assert load(joined.read_bytes()).keys() == file.tensors.keys()
    refused = command("join", "default", path, "-o", tmp_path / "no.safetensors")
    assert str(refused.exception) == "one has no machine end of its own"


@pytest.mark.parametrize("name", ["g_a.0.weight", "entropy.gain", "g_s.view_terms.0.weight"])
def test_models_of_different_starts_are_refused_by_what_differs(name, tmp_path):
    other, joined = changed(name, tmp_path / "other.safetensors"), tmp_path / "joined.safetensors"
    refused = command("join", other, "default", "-o", joined)
    assert str(refused.exception) == (
        f"other and default have not come from one start: their {name} differ"
    )
    assert not joined.exists()


def test_models_of_different_sizes_are_refused(tmp_path):
    refused = command("join", TINY, "default", "-o", tmp_path / "joined.safetensors")
    assert str(refused.exception) == "tiny and default are networks of different sizes"
