"""Model files that are damaged, incomplete or of another kind are refused in one typed error."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from ugicm_codec import Codec
from ugicm_codec.errors import BadModelFile, ModelError, UnknownModel
from ugicm_codec.models.modelfile import bundled_models

TINY = Path(__file__).parents[1] / "golden" / "v1" / "tiny.safetensors"
DATA = TINY.read_bytes()
HEADER_END = 8 + struct.unpack_from("<Q", DATA)[0]
TENSORS = load(DATA)
METADATA = json.loads(json.loads(DATA[8:HEADER_END])["__metadata__"]["ugicm"])


def load_bytes(folder, data):
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return Codec.load(str(path))


def file_with(tensors=TENSORS, **metadata):
    return save(dict(tensors), {"ugicm": json.dumps(METADATA | metadata)})


def test_the_file_is_sound_and_reports_itself(tmp_path):
    info = load_bytes(tmp_path, file_with()).model
    assert (info.name, info.backbone, info.quality_steps) == ("model", "bmshj2018", 3)
    assert (info.channels, info.latent_channels, info.training) == (8, 12, {"steps": 0})
    assert info.latents_id == Codec.load(str(TINY)).model.latents_id


def test_the_default_model_is_bundled():
    assert "default" in bundled_models()
    assert Codec.load().model.name == "default"


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/file.safetensors", "/", ""])
def test_an_unknown_model_names_those_that_are_known(name):
    with pytest.raises(UnknownModel, match="default"):
        Codec.load(name)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 100, id="zeros"),
        pytest.param(b"\xff" * 100, id="ones"),
        pytest.param(b"PK\x03\x04" + bytes(200), id="a pickled checkpoint"),
        pytest.param(save({"weight": torch.zeros(3)}), id="tensors of something else"),
        pytest.param(save({"weight": torch.zeros(3)}, {"ugicm": "{"}), id="metadata that is none"),
        pytest.param(save({"weight": torch.zeros(3)}, {"ugicm": "[]"}), id="metadata of a list"),
        pytest.param(DATA + b"\0", id="trailing byte"),
        pytest.param(file_with(format=2), id="a later format"),
        pytest.param(file_with(backbone="mlicpp"), id="another backbone"),
        pytest.param(file_with(config={"channels": 8}), id="half a config"),
        pytest.param(file_with(config=None), id="no config"),
    ],
)
def test_what_is_no_model_file_is_refused(tmp_path, data):
    with pytest.raises(BadModelFile, match="model"):
        load_bytes(tmp_path, data)


@pytest.mark.parametrize("length", [7, 8, 100, HEADER_END, HEADER_END + 1, len(DATA) - 1])
def test_truncations_are_refused(tmp_path, length):
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, DATA[:length])


@pytest.mark.parametrize("name", sorted(TENSORS))
def test_every_missing_tensor_is_noticed(tmp_path, name):
    rest = {other: tensor for other, tensor in TENSORS.items() if other != name}
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(rest))


@pytest.mark.parametrize("name", sorted(TENSORS))
def test_every_tensor_of_another_shape_is_noticed(tmp_path, name):
    shorter = TENSORS[name].reshape(-1)[:-1].clone()
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(TENSORS | {name: shorter}))


@pytest.mark.parametrize(
    "name", sorted(name for name, tensor in TENSORS.items() if len(tensor.shape) > 0)
)
def test_every_tensor_with_a_row_too_few_is_noticed(tmp_path, name):
    shorter = TENSORS[name][:-1].clone()
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(TENSORS | {name: shorter}))


CRAFTED = {
    "a weight without an absolute value": {"layers.0.weight": -(2**15)},
    "a bias without an absolute value": {"layers.1.bias": -(2**63)},
    "a shift beyond the word": {"layers.0.shift": 64},
    "a negative shift": {"layers.0.shift": -1},
    "thresholds that stand still": {"thresholds": 5},
    "a gain of nothing": {"gain": 0.0},
    "a gain that is no number": {"gain": float("nan")},
    "a gain without end": {"inverse_gain": float("inf")},
    "tables far from zero": {"latent_tables.offset": -300_000},
    "cumulative frequencies that stand still": {"hyper_tables.cumulative": 7},
}


@pytest.mark.parametrize("case", CRAFTED)
def test_values_that_would_void_exactness_are_refused(tmp_path, case):
    ((name, value),) = CRAFTED[case].items()
    crafted = torch.full_like(TENSORS[f"entropy.{name}"], value)
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(TENSORS | {f"entropy.{name}": crafted}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("name", sorted(TENSORS))
def test_every_tensor_of_another_type_is_noticed(tmp_path, name, dtype):
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(TENSORS | {name: TENSORS[name].to(dtype)}))


def test_a_small_file_allocates_nothing_large(tmp_path):
    empty = {"g_a.0.weight": torch.empty(20_000, 0)}
    config = METADATA["config"] | {"channels": 20_000}
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(TENSORS | empty, config=config))


@pytest.mark.parametrize("metadata", ["[" * 100_000, '{"training": 5}', "[]"])
def test_metadata_of_no_form_is_refused(tmp_path, metadata):
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, save(dict(TENSORS), {"ugicm": metadata}))


def test_a_training_record_is_an_object(tmp_path):
    with pytest.raises(BadModelFile, match="a training record is an object, got 5"):
        load_bytes(tmp_path, file_with(training=5))


@pytest.mark.parametrize("layer", range(3))
def test_layers_that_upsample_elsewhere_are_refused(tmp_path, layer):
    name = f"entropy.layers.{layer}.upsample"
    with pytest.raises(BadModelFile, match="upsamples"):
        load_bytes(tmp_path, file_with(TENSORS | {name: 1 - TENSORS[name]}))


@pytest.mark.parametrize("size", [0, -1, 7, 9, 2.5, "8", None, 2**40])
@pytest.mark.parametrize("field", sorted(METADATA["config"]))
def test_sizes_that_the_tensors_have_not_are_refused(tmp_path, field, size):
    with pytest.raises(BadModelFile):
        load_bytes(tmp_path, file_with(config=METADATA["config"] | {field: size}))


@settings(max_examples=200)
@given(position=st.integers(0, HEADER_END - 1), value=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_changes_nothing_that_decodes(
    tmp_path_factory, position, value
):
    data = bytearray(DATA)
    data[position] = value
    try:
        codec = load_bytes(tmp_path_factory.mktemp("damaged"), bytes(data))
    except ModelError:
        return
    picture = np.zeros((20, 20, 3), np.uint8)
    assert codec.decode(codec.encode(picture)).shape == picture.shape
