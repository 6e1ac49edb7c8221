"""Time the parts of the work for one frame, as a histogram and as spans of its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ugicm_servicekit.metrics import STAGE_SECONDS
from ugicm_servicekit.tracing import span

__all__ = ["stage"]


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time what runs inside, in a task or in a thread; what fails is timed too.

    Args:
        name: one of few words, such as ``queue`` or ``synthesis``.
    """
    started = time.perf_counter()
    try:
        with span(name):
            yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)
