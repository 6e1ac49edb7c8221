"""Times whole calls, and the parts inside them where they happen."""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Stopwatch:
    """Adds up the time spent in functions that it watches; nested ones count once, as the outer."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = False

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Replace ``owner.name`` by a function that adds its time to ``part``."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds[part] += time.perf_counter() - start
                self._inside = False

        setattr(owner, name, timed)

    def take(self) -> dict[str, float]:
        """Return the seconds of each part since the last call."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken


@dataclass(frozen=True)
class Timing:
    """One operation, measured several times after it has run once.

    Attributes:
        first: seconds of the very first call.
        steady: median seconds of the later ones.
        parts: median seconds of each watched part of the later ones.
    """

    first: float
    steady: float
    parts: dict[str, float]


def measure(call: Callable[[], Any], stopwatch: Stopwatch, repeat: int) -> tuple[Timing, Any]:
    """Time ``call`` and return what it returned last."""
    seconds, parts = [], []
    for _ in range(repeat + 1):
        stopwatch.take()
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        parts.append(stopwatch.take())
    names = {name for part in parts for name in part}
    medians = {name: statistics.median(part.get(name, 0.0) for part in parts[1:]) for name in names}
    return Timing(seconds[0], statistics.median(seconds[1:]), medians), result
