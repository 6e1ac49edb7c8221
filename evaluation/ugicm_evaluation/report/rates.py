"""Rate and distortion, from the files that were written for each picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.bd import Curve, bd_rate
from ugicm_evaluation.bootstrap import Estimate, draw_pictures, estimate
from ugicm_evaluation.errors import BadCurve
from ugicm_evaluation.measuring.measure import Coded, Measured
from ugicm_evaluation.measuring.plan import Coding
from ugicm_evaluation.published import published_curves
from ugicm_evaluation.report.results import (
    AtEqualBytes,
    BdRate,
    Point,
    RateDistortion,
    RateRange,
)

__all__ = ["rate_distortion"]

# Bits per pixel; the first is the range in which a learned codec has to be ahead.
_RANGES = ((0.0, 0.5), (0.0, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.7), (0.7, 1.0))

# A curve by name: which codings are its points, and which of their views.
_CURVES: Mapping[str, Callable[[Coding], bool]] = {
    "human": lambda coding: coding.codec == "model",
    "machine": lambda coding: coding.codec == "model",
    "baseline": lambda coding: coding.codec == "baseline" and coding.within is None,
    "JPEG": lambda coding: coding.codec == "JPEG",
    "WebP": lambda coding: coding.codec == "WebP",
}
_KODAK = "bmshj2018 on Kodak"


def rate_distortion(
    dataset: str,
    measured: Sequence[Measured],
    *,
    published: Path,
    draws: int,
    seed: int,
) -> RateDistortion:
    """Compare curves over a dataset's pictures.

    Args:
        published: a folder of published curves on Kodak, or a missing one.
        draws: of the bootstrap.
        seed: of the draws.
    """
    drawn = draw_pictures(len(measured), draws=draws, seed=seed)
    own = {name: [_curve(one, name) for one in measured] for name in _CURVES}
    means = {name: _means(measured, name) for name in _CURVES}
    means = {name: points for name, points in means.items() if points}
    kodak = published_curves(published)
    pairs = [
        (test, anchor)
        for test in ("human", "machine", "baseline")
        for anchor in ("JPEG", "WebP", "baseline")
        if test != anchor and test in means and anchor in means
    ]
    bd_rates = [_bd_rate(test, anchor, means, own, drawn) for test, anchor in pairs]
    hyperprior = kodak.get("bmshj2018")
    published_rates: list[BdRate] = []
    if hyperprior is not None:
        published_rates = [
            BdRate("bmshj2018", anchor, _try(kodak[anchor], hyperprior), None, 0)
            for anchor in ("JPEG", "WebP", "VTM")
            if anchor in kodak
        ]
        for test in ("human", "baseline"):
            if test in means:
                direct = _try(hyperprior, _of_points(means[test]))
                bd_rates.append(BdRate(test, _KODAK, direct, None, 0))
                bd_rates += _by_way_of(test, bd_rates, published_rates)
    qualities = sorted({c.quality for c in measured[0].coded if c.codec == "model"})
    rows, over_budget = _against_baseline(measured, qualities)
    return RateDistortion(
        dataset=dataset,
        curves=means,
        at_equal_bytes=[_at_equal_bytes(measured, own, q, rows, drawn) for q in qualities],
        ranges=_ranges(measured, own, drawn),
        human_over_baseline=None if rows is None else estimate(drawn @ rows.mean(1) / len(rows)),
        baseline_over_budget=over_budget,
        bd_rates=bd_rates,
        published=published_rates,
    )


def _by_way_of(test: str, ours: Sequence[BdRate], published: Sequence[BdRate]) -> list[BdRate]:
    """Compare with a published curve through codecs that both were compared with."""
    own = {rate.anchor: rate.of_means for rate in ours if rate.test == test}
    found = []
    for theirs in published:
        mine = own.get(theirs.anchor)
        if mine is not None and theirs.of_means is not None:
            ratio = (100.0 + mine) / (100.0 + theirs.of_means)
            anchor = f"{_KODAK}, by way of {theirs.anchor}"
            found.append(BdRate(test, anchor, 100.0 * (ratio - 1.0), None, 0))
    return found


def _points(measured: Measured, name: str) -> list[tuple[int, float, float]]:
    """Return quality, bits per pixel and PSNR of each of a curve's points."""
    view = 1.0 if name == "machine" else 0.0
    return [
        (coding.quality, 8 * coded.num_bytes / measured.pixels, coded.psnr[view])
        for coding, coded in measured.coded.items()
        if _CURVES[name](coding)
    ]


def _curve(measured: Measured, name: str) -> Curve:
    points = _points(measured, name)
    return Curve.of([point[1] for point in points], [point[2] for point in points])


def _means(measured: Sequence[Measured], name: str) -> list[Point]:
    tables = np.array([_points(one, name) for one in measured])
    if not tables.size:
        return []
    return [Point(int(row[0]), float(row[1]), float(row[2])) for row in tables.mean(0)]


def _of_points(points: Sequence[Point]) -> Curve:
    return Curve.of([point.bits_per_pixel for point in points], [point.psnr for point in points])


def _try(anchor: Curve, test: Curve) -> float | None:
    try:
        return bd_rate(anchor, test)
    except BadCurve:
        return None


def _bd_rate(
    test: str,
    anchor: str,
    means: Mapping[str, Sequence[Point]],
    own: Mapping[str, Sequence[Curve]],
    drawn: NDArray[np.int64],
) -> BdRate:
    each = [_try(a, t) for a, t in zip(own[anchor], own[test], strict=True)]
    compared = np.array([rate is not None for rate in each])
    rates = np.array([rate or 0.0 for rate in each])
    return BdRate(
        test=test,
        anchor=anchor,
        of_means=_try(_of_points(means[anchor]), _of_points(means[test])),
        of_pictures=_share(drawn, rates, compared) if compared.any() else None,
        pictures=int(compared.sum()),
    )


def _share(
    drawn: NDArray[np.int64], totals: NDArray[np.float64], counts: NDArray[np.int64]
) -> Estimate:
    """Estimate a mean over things of which pictures have different numbers."""
    return estimate((drawn @ totals) / np.maximum(drawn @ counts, 1))


def _at_bits(curve: Curve, bits_per_pixel: float) -> float | None:
    """Return a curve's PSNR at a rate, linear in the rate's logarithm; None outside its range."""
    if not curve.rate or not curve.rate[0] <= bits_per_pixel <= curve.rate[-1]:
        return None
    return float(np.interp(np.log(bits_per_pixel), np.log(curve.rate), curve.quality))


def _model(measured: Measured, quality: int) -> Coded:
    return next(
        coded
        for coding, coded in measured.coded.items()
        if coding.codec == "model" and coding.quality == quality
    )


def _gains(
    measured: Sequence[Measured], curves: Sequence[Curve], quality: int
) -> list[float | None]:
    gains = []
    for one, curve in zip(measured, curves, strict=True):
        coded = _model(one, quality)
        other = _at_bits(curve, 8 * coded.num_bytes / one.pixels)
        gains.append(None if other is None else coded.psnr[0.0] - other)
    return gains


def _estimate_gains(drawn: NDArray[np.int64], gains: Sequence[float | None]) -> Estimate | None:
    compared = np.array([gain is not None for gain in gains])
    if not compared.any():
        return None
    return _share(drawn, np.array([gain or 0.0 for gain in gains]), compared)


def _against_baseline(
    measured: Sequence[Measured], qualities: Sequence[int]
) -> tuple[NDArray[np.float64] | None, int]:
    """Return human PSNR less the baseline's, ``(pictures, qualities)``, and budgets exceeded."""
    rows, exceeded = [], 0
    for one in measured:
        within = {c.quality: coded for c, coded in one.coded.items() if c.within is not None}
        if not within:
            return None, 0
        pairs = [(_model(one, quality), within[quality]) for quality in qualities]
        rows.append([model.psnr[0.0] - baseline.psnr[0.0] for model, baseline in pairs])
        exceeded += sum(baseline.num_bytes > model.num_bytes for model, baseline in pairs)
    return np.array(rows), exceeded


def _at_equal_bytes(
    measured: Sequence[Measured],
    own: Mapping[str, Sequence[Curve]],
    quality: int,
    against_baseline: NDArray[np.float64] | None,
    drawn: NDArray[np.int64],
) -> AtEqualBytes:
    streams = [_model(one, quality) for one in measured]
    jpeg = _gains(measured, own["JPEG"], quality)
    over_baseline = None
    if against_baseline is not None:
        qualities = sorted({c.quality for c in measured[0].coded if c.codec == "model"})
        column = against_baseline[:, qualities.index(quality)]
        over_baseline = estimate(drawn @ column / len(measured))
    rates = [8 * s.num_bytes / one.pixels for s, one in zip(streams, measured, strict=True)]
    return AtEqualBytes(
        quality=quality,
        bits_per_pixel=float(np.mean(rates)),
        human=float(np.mean([stream.psnr[0.0] for stream in streams])),
        machine=float(np.mean([stream.psnr[1.0] for stream in streams])),
        over_jpeg=_estimate_gains(drawn, jpeg),
        over_webp=_estimate_gains(drawn, _gains(measured, own["WebP"], quality)),
        over_baseline=over_baseline,
        jpeg_beaten=sum(gain is not None and gain > 0 for gain in jpeg),
        jpeg_compared=sum(gain is not None for gain in jpeg),
    )


def _ranges(
    measured: Sequence[Measured], own: Mapping[str, Sequence[Curve]], drawn: NDArray[np.int64]
) -> list[RateRange]:
    found = []
    for low, high in _RANGES:
        gains: dict[str, list[list[float]]] = {"JPEG": [], "WebP": []}
        for anchor, of_pictures in gains.items():
            for one, curve in zip(measured, own[anchor], strict=True):
                mine = []
                for rate, psnr in [point[1:] for point in _points(one, "human")]:
                    other = _at_bits(curve, rate)
                    if low <= rate < high and other is not None:
                        mine.append(psnr - other)
                of_pictures.append(mine)
        streams = sum(len(mine) for mine in gains["JPEG"])
        over_jpeg = _of_ragged(drawn, gains["JPEG"])
        if over_jpeg is not None:
            smallest = min(min(mine) for mine in gains["JPEG"] if mine)
            over_webp = _of_ragged(drawn, gains["WebP"])
            found.append(RateRange(low, high, streams, over_jpeg, smallest, over_webp))
    return found


def _of_ragged(drawn: NDArray[np.int64], gains: Sequence[Sequence[float]]) -> Estimate | None:
    counts = np.array([len(mine) for mine in gains])
    if not counts.any():
        return None
    return _share(drawn, np.array([sum(mine) for mine in gains]), counts)
