"""Time the parts of the work for one frame, as a histogram and as spans of its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ugicm_servicekit.metrics import STAGE_SECONDS
from ugicm_servicekit.tracing import record_span, span

__all__ = ["record_stage", "stage"]


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


def record_stage(name: str, started_ns: int, ended_ns: int) -> None:
    """Count a part of the running work that another process did, between times since 1970."""
    # The clock may have been set back meanwhile.
    ended_ns = max(started_ns, ended_ns)
    record_span(name, started_ns, ended_ns)
    STAGE_SECONDS.labels(name).observe((ended_ns - started_ns) / 1e9)
