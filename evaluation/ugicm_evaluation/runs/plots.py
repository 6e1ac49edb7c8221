"""Plots of runs: rate against fidelity, rate against accuracy, and along the view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ugicm_evaluation.drawing import grid
from ugicm_evaluation.runs.curves import PointsOfCodec, codec_points, datasets_of, metrics_of
from ugicm_evaluation.runs.results import MetricFacts, Point, Run

__all__ = ["at_all_qualities", "plots"]

# Told apart by people with any colour vision, in print as well (Okabe and Ito, 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def plots(runs: Sequence[Run]) -> dict[str, Figure]:
    """Return figures by the name that their files should have."""
    found = {}
    for dataset in datasets_of(runs):
        metrics = metrics_of(runs, dataset)
        fidelity = {name: facts for name, facts in metrics.items() if facts.judge is None}
        judged = {name: facts for name, facts in metrics.items() if facts.judge is not None}
        if fidelity:
            found[f"{dataset}-rate-distortion"] = _by_rate(runs, dataset, fidelity)
        if judged:
            found[f"{dataset}-rate-accuracy"] = _by_rate(runs, dataset, judged)
        swept = _swept(runs, dataset)
        if swept:
            found[f"{dataset}-views"] = _along_the_view(swept, metrics)
    return found


def _by_rate(runs: Sequence[Run], dataset: str, metrics: dict[str, MetricFacts]) -> Figure:
    figure, places = grid(len(metrics))
    originals = next(one.originals for run in runs for one in run.datasets if one.name == dataset)
    for axes, (name, facts) in zip(places, metrics.items(), strict=True):
        for points, colour, marker in zip(
            at_all_qualities(codec_points(runs, dataset)),
            cycle(_COLOURS),
            cycle(_MARKERS),
            strict=False,
        ):
            _draw(axes, points, name, colour, marker)
        original = originals[name].known if name in originals else None
        if original is not None:
            axes.axhline(original.value, color="black", linewidth=0.8, label="uncompressed")
        _title(axes, facts)
        axes.set_xlabel("bits per pixel, of whole files")
        axes.grid(alpha=0.3)
    _legend(figure)
    return figure


def at_all_qualities(curves: Sequence[PointsOfCodec]) -> list[PointsOfCodec]:
    """Leave out views that were decoded at some of a codec's qualities: they are swept."""
    most = Counter[str]()
    for curve in curves:
        codec = curve.points[0].codec
        most[codec] = max(most[codec], len(curve.points))
    return [one for one in curves if len(one.points) == most[one.points[0].codec]]


def _draw(axes: Axes, points: PointsOfCodec, metric: str, colour: str, marker: str) -> None:
    figures = points.figures(metric)
    if figures:
        rates = [rate for rate, _ in figures]
        values = [figure.value for _, figure in figures]
        axes.plot(rates, values, color=colour, marker=marker, markersize=4, label=points.name)


def _swept(runs: Sequence[Run], dataset: str) -> dict[str, list[Point]]:
    """Return the points of each codec at each quality that has more than two views."""
    found: dict[str, list[Point]] = {}
    for run in runs:
        for point in run.points:
            if point.dataset == dataset:
                prefix = f"{run.name}: " if len(runs) > 1 else ""
                found.setdefault(f"{prefix}{point.codec}, quality {point.quality}", []).append(
                    point
                )
    return {
        name: sorted(points, key=lambda point: point.view)
        for name, points in found.items()
        if len(points) > 2
    }


def _along_the_view(swept: dict[str, list[Point]], metrics: dict[str, MetricFacts]) -> Figure:
    figure, places = grid(len(metrics))
    for axes, (name, facts) in zip(places, metrics.items(), strict=True):
        for (label, points), colour, marker in zip(
            swept.items(), cycle(_COLOURS), cycle(_MARKERS), strict=False
        ):
            known = [
                (point.view, one)
                for point in points
                if name in point.figures and (one := point.figures[name].known) is not None
            ]
            views = [view for view, _ in known]
            lows, highs = [one.low for _, one in known], [one.high for _, one in known]
            axes.fill_between(views, lows, highs, color=colour, alpha=0.15, linewidth=0)
            values = [one.value for _, one in known]
            axes.plot(views, values, color=colour, marker=marker, markersize=4, label=label)
        _title(axes, facts)
        axes.set_xlabel("view: 0 human, 1 machine")
        axes.grid(alpha=0.3)
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Say once below all axes which curve is whose."""
    named: dict[str, Artist] = {}
    for axes in figure.axes:
        lines, labels = axes.get_legend_handles_labels()
        named.update(zip(map(str, labels), lines, strict=True))
    columns = 2 if len(figure.axes) == 1 else 4
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=columns, fontsize=8
    )


def _title(axes: Axes, facts: MetricFacts) -> None:
    unit = f", {facts.unit}" if facts.unit else ""
    judge = "" if facts.judge is None else f"{facts.judge}\n"
    axes.set_title(f"{judge}{facts.title}{unit}", fontsize=9)
