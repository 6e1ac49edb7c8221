"""Cuts large pictures into tiles whose results are those of the whole picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Tile", "tiles"]


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in latents.

    Attributes:
        start, stop: the part of the result that is kept.
        outer_start, outer_stop: what is computed, with the margin that the result depends on.
    """

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    def outer(self, stride: int) -> slice:
        """Return the computed part, at ``stride`` elements per latent."""
        return slice(self.outer_start * stride, self.outer_stop * stride)

    def kept(self, stride: int) -> slice:
        """Return the kept part within the whole."""
        return slice(self.start * stride, self.stop * stride)

    def kept_of_outer(self, stride: int) -> slice:
        """Return the kept part within the computed part."""
        first = self.start - self.outer_start
        return slice(first * stride, (first + self.stop - self.start) * stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of latents."""

    rows: Span
    columns: Span


def tiles(height: int, width: int, *, side: int, margin: int) -> Iterator[Tile]:
    """Yield tiles of at most ``side`` latents that cover ``height`` x ``width`` latents."""
    for rows in _spans(height, side, margin):
        for columns in _spans(width, side, margin):
            yield Tile(rows, columns)


def _spans(length: int, side: int, margin: int) -> list[Span]:
    return [
        Span(start, stop, max(0, start - margin), min(length, stop + margin))
        for start in range(0, length, side)
        for stop in [min(start + side, length)]
    ]
