"""Bjøntegaard deltas between the curves of runs, and published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ugicm_evaluation.bd import Curve, bd_metric, bd_rate
from ugicm_evaluation.errors import BadCurve, BadRun
from ugicm_evaluation.markdown import table
from ugicm_evaluation.runs.curves import PointsOfCodec, rising_curve
from ugicm_evaluation.runs.results import MetricFacts

__all__ = ["Delta", "delta_table", "deltas", "rate_table"]


@dataclass(frozen=True)
class Delta:
    """A curve against the anchor.

    Attributes:
        rate: how many per cent more bytes it needs for the same quality, or why that is unknown.
        metric: how much more quality it has at the same bytes, or why that is unknown.
    """

    test: str
    rate: float | BadCurve
    metric: float | BadCurve


def deltas(curves: Mapping[str, Curve], anchor: str) -> list[Delta]:
    """Compare every curve with one of them.

    Raises:
        BadRun: none has the anchor's name.
    """
    if anchor not in curves:
        raise BadRun(f"no curve is called {anchor!r}; there are {', '.join(curves)}")
    return [
        Delta(name, _try(bd_rate, curves[anchor], curve), _try(bd_metric, curves[anchor], curve))
        for name, curve in curves.items()
        if name != anchor
    ]


def delta_table(found: list[Delta], *, anchor: str, metric: str, unit: str) -> str:
    """Return Markdown: a row for each curve, and below it why figures are missing."""
    suffix = f" {unit}" if unit else ""
    rows = [[one.test, _cell(one.rate, 2, " %"), _cell(one.metric, 4, suffix)] for one in found]
    head = [f"against {anchor}, {metric}", "BD-rate", "BD-metric"]
    reasons = [
        f"{one.test}: {value}"
        for one in found
        for value in (one.rate, one.metric)
        if isinstance(value, BadCurve)
    ]
    return "\n\n".join([table(head, rows), *dict.fromkeys(reasons)]) + "\n"


def rate_table(
    curves: Sequence[PointsOfCodec], metrics: Mapping[str, MetricFacts], anchor: str
) -> str:
    """Return Markdown: BD-rates in per cent, a row for each other curve, a column for each metric.

    Raises:
        BadRun: none has the anchor's name.
    """
    columns = []
    for name, facts in metrics.items():
        risen = {one.name: rising_curve(one, name, facts.better) for one in curves}
        columns.append({one.test: _cell(one.rate, 1, "") for one in deltas(risen, anchor)})
    rows = [[one.name, *(c[one.name] for c in columns)] for one in curves if one.name != anchor]
    head = [f"BD-rate against {anchor}, %", *(facts.title for facts in metrics.values())]
    return table(head, rows)


def _try(kind: Callable[[Curve, Curve], float], anchor: Curve, test: Curve) -> float | BadCurve:
    try:
        return kind(anchor, test)
    except BadCurve as error:
        return error


def _cell(value: float | BadCurve, digits: int, unit: str) -> str:
    return "" if isinstance(value, BadCurve) else f"{value:+.{digits}f}{unit}"
