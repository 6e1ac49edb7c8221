"""A fixture for tests that compute on one thread: import it where it is to hold."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Compute on one thread: small pictures gain nothing from more, and sums keep one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
