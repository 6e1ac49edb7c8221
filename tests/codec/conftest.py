from pathlib import Path

import pytest
import torch

from ugicm_codec import Codec

TINY = Path(__file__).parents[1] / "golden" / "v1" / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny():
    """Path of a model file with random weights, small enough for thousands of calls."""
    return str(TINY)


@pytest.fixture(scope="session")
def codec(tiny):
    return Codec.load(tiny, precision=torch.float32)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Compute on one thread: small pictures gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
