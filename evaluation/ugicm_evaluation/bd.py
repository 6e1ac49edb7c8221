"""Bjøntegaard deltas between rate-distortion curves (VCEG-M33, 2001).

Over piecewise cubic (PCHIP) interpolation of the logarithm of the rate, as JCT-VC's common test
conditions have it since 2013.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np

from ugicm_evaluation.errors import BadCurve

__all__ = ["Curve", "bd_metric", "bd_rate"]


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
    _check(anchor, test, anchor.quality, test.quality)
    return _delta(bjontegaard.bd_rate, anchor, test)


def bd_metric(anchor: Curve, test: Curve) -> float:
    """Return how much more quality ``test`` has at the anchor's rate, in the quality's unit.

    Raises:
        BadCurve: a curve has fewer than four points, or they share no range of rate.
    """
    _check(anchor, test, anchor.rate, test.rate)
    return _delta(bjontegaard.bd_psnr, anchor, test)


def _check(
    anchor: Curve, test: Curve, anchor_values: Sequence[float], test_values: Sequence[float]
) -> None:
    if min(len(anchor.rate), len(test.rate)) < 4:
        raise BadCurve(
            f"a curve needs at least 4 points, got {len(anchor.rate)} and {len(test.rate)}"
        )
    if max(anchor_values[0], test_values[0]) >= min(anchor_values[-1], test_values[-1]):
        raise BadCurve(
            f"curves share no range: {anchor_values[0]:.2f} to {anchor_values[-1]:.2f} "
            f"and {test_values[0]:.2f} to {test_values[-1]:.2f}"
        )


def _delta(kind: Callable[..., float], anchor: Curve, test: Curve) -> float:
    delta = kind(
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
