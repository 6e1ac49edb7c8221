"""The curves that runs hold: one for each view of each codec on each data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ugicm_evaluation.bd import Curve
from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.errors import BadRun
from ugicm_evaluation.runs.results import MetricFacts, Point, Run
from ugicm_evaluation.tasks.protocol import Better

__all__ = ["PointsOfCodec", "codec_points", "datasets_of", "metrics_of", "rising_curve"]


@dataclass(frozen=True)
class PointsOfCodec:
    """One view of a codec on a data set, ascending in rate.

    Attributes:
        name: of the codec; with its view where it has several, with its run where there are.
    """

    name: str
    points: Sequence[Point]

    def figures(self, metric: str) -> list[tuple[float, Estimate]]:
        """Return bits per pixel and figure of each point that has the metric."""
        figures = [
            (point.bits_per_pixel, point.figures[metric].known)
            for point in self.points
            if metric in point.figures
        ]
        return [(rate, figure) for rate, figure in figures if figure is not None]


def datasets_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of all data sets.

    Raises:
        BadRun: two runs measured different pictures under one name.
    """
    hashes: dict[str, str] = {}
    for run in runs:
        for one in run.datasets:
            if hashes.setdefault(one.name, one.sha256) != one.sha256:
                raise BadRun(f"{one.name} is not the same pictures in all runs: compare other runs")
    return list(hashes)


def metrics_of(runs: Sequence[Run], dataset: str) -> dict[str, MetricFacts]:
    """Return the metrics of which a data set has figures, by the name that they have."""
    present = {
        name
        for run in runs
        for point in run.points
        if point.dataset == dataset
        for name, figure in point.figures.items()
        if figure.known is not None
    }
    known = {name: facts for run in runs for name, facts in run.metrics.items()}
    return {name: facts for name, facts in known.items() if name in present}


def codec_points(runs: Sequence[Run], dataset: str) -> list[PointsOfCodec]:
    """Return everything that a data set was coded with, in the order of the runs."""
    found: dict[tuple[int, str, float], list[Point]] = {}
    for index, run in enumerate(runs):
        for point in run.points:
            if point.dataset == dataset:
                found.setdefault((index, point.codec, point.view), []).append(point)
    named = []
    for (index, codec, view), points in found.items():
        views = {other[2] for other in found if other[:2] == (index, codec)}
        name = codec if len(views) == 1 else f"{codec}, view {view:g}"
        if len({other[0] for other in found if other[1] == codec}) > 1:
            name = f"{runs[index].name}: {name}"
        named.append(PointsOfCodec(name, sorted(points, key=lambda point: point.bits_per_pixel)))
    return named


def rising_curve(points: PointsOfCodec, metric: str, better: Better) -> Curve:
    """Return a curve of a metric; of one that should be low, its negative."""
    sign = 1.0 if better is Better.HIGHER else -1.0
    values = points.figures(metric)
    return Curve.of([rate for rate, _ in values], [sign * figure.value for _, figure in values])
