from pathlib import Path

import pytest
import torch

from tests.threads import one_thread
from ugicm_codec import Codec

__all__ = ["codec", "one_thread", "tiny"]

TINY = Path(__file__).parents[1] / "golden" / "v1" / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny():
    """Path of a model file with random weights, small enough for thousands of calls."""
    return str(TINY)


@pytest.fixture(scope="session")
def codec(tiny):
    return Codec.load(tiny, precision=torch.float32)
