"""Whoever decodes a stream, wherever, gets the integers that were coded."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import gradient, noise, scene
from ugicm_codec import Codec
from ugicm_codec.entropy.products import PRODUCTS, float64_product, int8_product, packed_product
from ugicm_codec.errors import InexactArithmetic

ROOT = Path(__file__).parents[2]

# Each forbids instructions that the others may use, as older machines do.
MACHINES = {
    "this one": {},
    "oneDNN on SSE 4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN on AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN on AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "PyTorch without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "PyTorch on AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
}


def run_process(*arguments, **env):
    command = [sys.executable, "-m", "tests.codec.coding_process", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | env, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def coded(tiny, tiny_mlicpp, tmp_path_factory):
    """Return a folder of streams that a process of its own encoded, and their models."""
    folder = tmp_path_factory.mktemp("coded")
    pictures = {"scene": scene(150, 230), "noise": noise(64, 64), "gradient": gradient(33, 500)}
    for name, picture in pictures.items():
        np.save(folder / f"{name}.npy", picture)
    models = [tiny, "default", tiny_mlicpp]
    run_process("encode", folder, *models)
    return folder, models


@pytest.fixture(scope="module")
def latents_here(coded):
    """Return what this process decodes of each stream, as digests."""
    folder, models = coded
    digests = {}
    for index, model in enumerate(models):
        codec = Codec.load(model, products=[float64_product])
        for path in folder.glob(f"{index}-*.ugi"):
            integers = codec.decode_latents(path.read_bytes()).integers
            digests[path.stem] = hashlib.sha256(integers.tobytes()).hexdigest()
    return digests


@pytest.mark.parametrize("machine", MACHINES)
def test_other_machines_decode_the_same_latents(machine, coded, latents_here):
    folder, models = coded
    expected = {name: [digest] * len(PRODUCTS) for name, digest in latents_here.items()}
    assert len(expected) == 27
    output = run_process("decode", folder, *models, **MACHINES[machine])
    assert json.loads(output) == expected


@pytest.fixture(scope="module")
def ways(tiny):
    return two_ways(tiny)


@pytest.fixture(scope="module")
def mlicpp_ways(tiny_mlicpp):
    return two_ways(tiny_mlicpp)


def two_ways(model):
    """Return two codecs of one model that share no arithmetic."""
    return [
        Codec.load(model, precision=torch.float32, products=[packed_product]),
        Codec.load(model, precision=torch.bfloat16, products=[float64_product]),
    ]


@settings(max_examples=12)
@given(height=st.integers(1, 100), width=st.integers(1, 100), seed=st.integers(0, 2**32 - 1))
def test_slices_of_any_size_decode_to_what_was_coded(mlicpp_ways, height, width, seed):
    encoder, decoder = mlicpp_ways
    stream = encoder.encode(scene(height, width, seed))
    integers = decoder.decode_latents(stream).integers
    assert np.array_equal(integers, encoder.decode_latents(stream).integers)


@settings(max_examples=40)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    quality=st.integers(0, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size_and_quality_decodes_to_what_was_coded(ways, height, width, quality, seed):
    picture = scene(height, width, seed)
    for encoder, decoder in [ways, ways[::-1]]:
        stream = encoder.encode(picture, quality)
        # Decoding compares the checksum of what the encoder coded.
        integers = decoder.decode_latents(stream).integers
        assert np.array_equal(integers, encoder.decode_latents(stream).integers)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (150, 230)])
@pytest.mark.parametrize("product", [int8_product, float64_product])
@pytest.mark.parametrize("backbone", ["bmshj2018", "mlicpp"])
def test_a_gpu_decodes_what_a_cpu_coded_and_the_other_way(size, product, backbone, tiny_mlicpp):
    model = "default" if backbone == "bmshj2018" else tiny_mlicpp
    here = Codec.load(model)
    try:
        there = Codec.load(model, device="cuda", products=[product])
    except InexactArithmetic:
        # CUDA's int8 product takes multiples of eight columns, which small layers do not have.
        assert product is int8_product
        pytest.skip("this product refuses the model's layers here")
    for encoder, decoder in [(here, there), (there, here)]:
        stream = encoder.encode(scene(*size))
        integers = decoder.decode_latents(stream).integers
        assert np.array_equal(integers, encoder.decode_latents(stream).integers)
