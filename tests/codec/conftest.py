from pathlib import Path

import pytest
import torch

from tests.threads import one_thread
from ugicm_codec import Codec

__all__ = ["codec", "one_thread", "tiny", "tiny_mlicpp"]

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = GOLDEN / "v1" / "tiny.safetensors"
TINY_MLICPP = GOLDEN / "v1-mlicpp" / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny():
    """Path of a model file with random weights, small enough for thousands of calls."""
    return str(TINY)


@pytest.fixture(scope="session")
def tiny_mlicpp():
    """Path of an MLIC++ model with random weights and ten slices of two channels."""
    return str(TINY_MLICPP)


@pytest.fixture(scope="session")
def codec(tiny):
    return Codec.load(tiny, precision=torch.float32)
