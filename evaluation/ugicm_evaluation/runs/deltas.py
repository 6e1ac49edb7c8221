"""Bjøntegaard deltas between the curves of runs, and published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ugicm_evaluation.bd import Curve, bd_metric, bd_rate
from ugicm_evaluation.errors import BadCurve, BadRun
from ugicm_evaluation.markdown import table

__all__ = ["Delta", "delta_table", "deltas"]


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


def _try(kind: Callable[[Curve, Curve], float], anchor: Curve, test: Curve) -> float | BadCurve:
    try:
        return kind(anchor, test)
    except BadCurve as error:
        return error


def _cell(value: float | BadCurve, digits: int, unit: str) -> str:
    return "" if isinstance(value, BadCurve) else f"{value:+.{digits}f}{unit}"
