"""Bjøntegaard deltas between rate-distortion curves (VCEG-M33, 2001).

Over piecewise cubic (PCHIP) interpolation of the logarithm of the rate, as JCT-VC's common test
conditions have it since 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np

from ugicm_evaluation.errors import BadCurve

__all__ = ["Curve", "bd_rate"]


@dataclass(frozen=True)
class Curve:
    """Points of one codec, ascending.

    Attributes:
        rate: bits per pixel.
        quality: PSNR in dB, or another figure that rises with the rate.
    """

    rate: tuple[float, ...]
    quality: tuple[float, ...]

    @classmethod
    def of(cls, rate: Sequence[float], quality: Sequence[float]) -> Curve:
        """Return the points in ascending order, without those that rise in rate alone.

        A codec whose file grows without getting better has no place on a curve there.
        """
        points: list[tuple[float, float]] = []
        for point in sorted(zip(rate, quality, strict=True)):
            if not points or (point[0] > points[-1][0] and point[1] > points[-1][1]):
                points.append(point)
        return cls(tuple(point[0] for point in points), tuple(point[1] for point in points))


def bd_rate(anchor: Curve, test: Curve) -> float:
    """Return how many per cent more rate ``test`` needs for the anchor's quality; negative: less.

    Raises:
        BadCurve: a curve has fewer than four points, or they share no range of quality.
    """
    if min(len(anchor.rate), len(test.rate)) < 4:
        raise BadCurve(
            f"a curve needs at least 4 points, got {len(anchor.rate)} and {len(test.rate)}"
        )
    low = max(anchor.quality[0], test.quality[0])
    high = min(anchor.quality[-1], test.quality[-1])
    if low >= high:
        raise BadCurve(
            f"curves share no range: {anchor.quality[0]:.2f} to {anchor.quality[-1]:.2f} "
            f"and {test.quality[0]:.2f} to {test.quality[-1]:.2f}"
        )
    delta = bjontegaard.bd_rate(
        np.array(anchor.rate),
        np.array(anchor.quality),
        np.array(test.rate),
        np.array(test.quality),
        method="pchip",
        require_matching_points=False,
        min_overlap=0.0,
    )
    if not math.isfinite(delta):
        raise BadCurve("the delta is no number")
    return float(delta)
