"""Say how long to wait before the next try: exponentially longer, and at random."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Exponential backoff with full jitter.

    The wait before try n is drawn evenly between 0 and ``first_seconds * 2**n``, at most
    ``most_seconds``: clients that failed together do not come back together (M. Brooker,
    "Exponential Backoff And Jitter", 2015).

    Args:
        first_seconds: the longest first wait.
        most_seconds: the longest wait of all.
        uniform: returns a number drawn evenly between its two arguments.
    """

    def __init__(
        self,
        *,
        first_seconds: float = 0.2,
        most_seconds: float = 10.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._uniform = uniform
        self._ceiling = first_seconds

    def next_seconds(self, at_least: float = 0.0) -> float:
        """Return how long to wait now, and let the next wait be longer.

        Args:
            at_least: what the other side asked for; the drawn time comes on top, so that everybody
                who was asked for the same does not come back at once.
        """
        seconds = at_least + self._uniform(0.0, self._ceiling)
        self._ceiling = min(2 * self._ceiling, self._most_seconds)
        return seconds

    def reset(self) -> None:
        """Begin again with short waits, because something worked."""
        self._ceiling = self._first_seconds
