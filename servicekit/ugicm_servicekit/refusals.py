"""Count what a server refuses, by method and status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import grpc

__all__ = ["Refusals"]


class Refusals:
    """How often each method ended, or answered an item of a stream, with each status but OK."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, grpc.StatusCode]] = Counter()

    def add(self, method: str, code: grpc.StatusCode) -> None:
        """Count one more."""
        self._counts[method, code] += 1

    @property
    def counts(self) -> Mapping[tuple[str, grpc.StatusCode], int]:
        """The counts so far, by full method name and status."""
        return dict(self._counts)
