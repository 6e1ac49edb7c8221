"""Which latents are coded first and which with their neighbours known, by size of the picture.

Anchors are the positions whose row and column have an odd sum (He et al., CVPR 2021).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["WINDOW", "Checkerboard", "checkerboard"]

# Height and width of the neighbourhood that the local context looks at.
WINDOW = 5

# Sizes whose positions are kept: a camera's pictures have one, a tiled picture has four.
_KEPT_SIZES = 16


@dataclass(frozen=True, eq=False)
class Checkerboard:
    """Positions in a grid of ``height`` x ``width``, each as row times width plus column.

    Attributes:
        anchors: ``(A,)`` int64, ascending.
        others: ``(B,)`` int64, ascending.
        windows: ``(B, 25)`` int64, the neighbours of each of ``others`` in raster order, as
            positions in the grid with two more rows and columns on each side.
        attends: ``(B, 25, 25)`` bool, whether neighbour i of a window may look at neighbour j:
            anchors inside the grid look at anchors inside it, all else at everything.
    """

    height: int
    width: int
    anchors: Tensor
    others: Tensor
    windows: Tensor
    attends: Tensor


@functools.lru_cache(maxsize=_KEPT_SIZES)
def checkerboard(height: int, width: int, device: torch.device) -> Checkerboard:
    """Return the positions of one size, made when it is first met."""
    row, column = torch.arange(height)[:, None], torch.arange(width)
    is_anchor = (row + column) % 2 == 1
    anchors, others = (part.flatten().nonzero()[:, 0] for part in (is_anchor, ~is_anchor))
    margin = WINDOW // 2
    padded_width = width + 2 * margin
    step = torch.arange(WINDOW)
    neighbours = (step[:, None] * padded_width + step).flatten()
    windows = (others // width * padded_width + others % width)[:, None] + neighbours
    padded = torch.nn.functional.pad(is_anchor, (margin, margin, margin, margin))
    known = padded.flatten()[windows]
    attends = ~known[:, :, None] | known[:, None, :]
    return Checkerboard(
        height,
        width,
        *(part.to(device) for part in (anchors, others, windows, attends)),
    )
