"""How many of PyTorch's threads a piece of work uses, decided for the thread that does it.

Where several threads of a process call PyTorch, GNU's OpenMP lets the helpers of each sleep between
operations, and waking them takes longer than an operation on a small picture: one thread is then
done sooner, and leaves the other cores to other pictures. ``torch.set_num_threads`` is no way to
say so, as it also decides for threads that begin later.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["CODING_PIXELS", "TRANSFORM_PIXELS", "at_most", "openmp", "threads_for"]

# Pixels that keep one thread as busy as two that wait for each other, in the transforms, and in the
# entropy model and coder. Measured on two cores; larger pictures gain from more threads.
TRANSFORM_PIXELS = 2**16
CODING_PIXELS = 2**18


def threads_for(pixels: int, busy_pixels: int) -> int:
    """Return how many threads so many pixels keep busy, at least 1."""
    return max(1, pixels // busy_pixels)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads for what this thread does inside, if it would use more.

    Nothing changes where PyTorch runs on another OpenMP than GNU's, nor for MKL's matrix products
    once ``torch.set_num_threads`` was called.
    """
    import torch

    # PyTorch sets a thread's number when it is first asked for it, and would undo ours later.
    before = torch.get_num_threads()
    library = openmp()
    if library is None or before <= threads:
        yield
        return
    library.omp_set_num_threads(threads)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


@functools.cache
def openmp() -> ctypes.CDLL | None:
    """Return GNU's OpenMP where PyTorch brings it along: another copy has threads of its own."""
    import torch

    beside = Path(torch.__file__).parent
    for path in [*beside.glob("lib/libgomp*.so*"), *beside.parent.glob("torch.libs/libgomp*.so*")]:
        # Only what is loaded already: PyTorch itself may run on another library.
        with suppress(OSError):
            return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    return None
