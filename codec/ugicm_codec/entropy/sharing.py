"""Shares a kernel's rows among as many threads as PyTorch's own operations use."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

__all__ = ["share"]

# Fewer numbers than this are computed before another thread has begun.
_WORTH_SHARING = 2**16


def share(kernel: Callable[..., None], rows: int, numbers: int, *arguments: object) -> None:
    """Run a kernel on rows from 0 to ``rows``, none of which needs another.

    Args:
        kernel: takes the first row, the one after the last, and ``arguments``; holds no lock.
        numbers: how many it computes, about.
    """
    threads = min(torch.get_num_threads(), rows)
    if threads < 2 or numbers < _WORTH_SHARING:
        kernel(0, rows, *arguments)
        return
    bounds = [rows * thread // threads for thread in range(threads + 1)]
    helpers = _helpers(os.getpid(), threads - 1)
    others = [helpers.submit(kernel, begin, end, *arguments) for begin, end in pairwise(bounds[1:])]
    kernel(0, bounds[1], *arguments)
    for other in others:
        other.result()


@functools.cache
def _helpers(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that begin when first needed; a forked process has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"kernels-{process}")
