"""Keep freed memory in the process, where tensors of the same size are needed again at once."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from its heap and never to give the heap back.

    By default each large tensor is mapped anew, and the kernel clears its pages on first touch.
    The price is that the process keeps the most memory it ever needed.

    Returns:
        Whether it took effect; other C libraries have no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 256 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)
