import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Compute on one thread: small pictures gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
