"""Streams of every version still decode, to the latents and pixels that they had when written."""

import functools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.golden.make_v1 import digest
from ugicm_codec import Codec, inspect

FOLDER = Path(__file__).parent
STREAMS = sorted(FOLDER.glob("v*/*.ugi"))
VIEWS = {"human": 0.0, "machine": 1.0}

over_streams = pytest.mark.parametrize(
    "path", STREAMS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)


@functools.cache
def codec_of(folder):
    return Codec.load(str(folder / "tiny.safetensors"), precision=torch.float32)


def expected(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_there_are_golden_streams():
    assert len(STREAMS) >= 10


@over_streams
def test_headers_read_as_written(path):
    header = asdict(inspect(path.read_bytes()))
    header["latents_id"] = header["latents_id"].hex()
    assert header == expected(path)["header"]


@over_streams
def test_latents_are_exactly_those_that_were_coded(path):
    integers = codec_of(path.parent).decode_latents(path.read_bytes()).integers
    assert {
        "shape": list(integers.shape),
        "first": integers[0, 0].tolist(),
        "smallest": int(integers.min()),
        "largest": int(integers.max()),
        "sha256": digest(integers),
    } == expected(path)["latents"]


@over_streams
@pytest.mark.parametrize("view", VIEWS)
def test_pixels_are_within_one_grey_level(path, view):
    written = np.asarray(Image.open(path.with_suffix(f".{view}.png")), np.int16)
    decoded = codec_of(path.parent).decode(path.read_bytes(), VIEWS[view]).astype(np.int16)
    assert decoded.shape == written.shape
    assert np.abs(decoded - written).max() <= 1
