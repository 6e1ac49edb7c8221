"""PyTorch's threads: as many as a piece of work keeps busy, for the thread that does it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from ugicm_codec import Codec, threads
from ugicm_codec.threads import at_most, openmp, threads_for

needs_openmp = pytest.mark.skipif(openmp() is None, reason="PyTorch runs on another OpenMP")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_openmp_is_the_copy_that_pytorch_has():
    with_pytorch = [path.name for path in (Path(torch.__file__).parent / "lib").iterdir()]
    assert (openmp() is not None) == any(name.startswith("libgomp") for name in with_pytorch)


@needs_openmp
@pytest.mark.parametrize(("most", "used"), [(1, 1), (2, 2), (8, 2)])
def test_a_limit_holds_inside_and_is_taken_back(most, used, two_threads):
    with at_most(most):
        assert torch.get_num_threads() == used
    assert torch.get_num_threads() == 2


@needs_openmp
def test_a_limit_is_taken_back_after_an_error(two_threads):
    with pytest.raises(RuntimeError, match="inside"), at_most(1):
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 2


@needs_openmp
def test_a_limit_is_one_threads_own(two_threads):
    with at_most(1), ThreadPoolExecutor(1) as executor:
        # A thread that begins meanwhile, and has not asked PyTorch for anything yet.
        assert executor.submit(torch.get_num_threads).result() == 2
    with ThreadPoolExecutor(1) as executor:

        def inside():
            with at_most(1):
                return torch.get_num_threads()

        assert executor.submit(inside).result() == 1
        assert executor.submit(torch.get_num_threads).result() == 2


def test_without_openmp_nothing_changes(two_threads, monkeypatch):
    monkeypatch.setattr(threads, "openmp", lambda: None)
    with at_most(1):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("pixels", "busy", "wanted"), [(0, 10, 1), (19, 10, 1), (20, 10, 2)])
def test_threads_are_as_many_as_are_kept_busy(pixels, busy, wanted):
    assert threads_for(pixels, busy) == wanted


def test_one_thread_decodes_what_two_coded(two_threads):
    from tests.pictures import scene

    codec, picture = Codec.load("default"), scene(150, 230)
    stream = codec.encode(picture)
    with at_most(1):
        assert codec.encode(picture) == stream
