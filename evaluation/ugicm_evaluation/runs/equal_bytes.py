"""What codecs are worth at the same bytes: their curves, read at one rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ugicm_evaluation.markdown import table
from ugicm_evaluation.runs.curves import PointsOfCodec
from ugicm_evaluation.runs.results import MetricFacts

__all__ = ["at_rate", "equal_bytes_table"]


def at_rate(points: PointsOfCodec, metric: str, bits_per_pixel: float) -> float | None:
    """Return a metric between neighbouring points, linear in the logarithm of the rate.

    Returns:
        None where the codec was not measured on both sides of the rate.
    """
    known = points.figures(metric)
    rates = [rate for rate, _ in known]
    if not rates or not rates[0] <= bits_per_pixel <= rates[-1]:
        return None
    values = [figure.value for _, figure in known]
    return float(np.interp(math.log(bits_per_pixel), np.log(rates), values))


def equal_bytes_table(
    curves: Sequence[PointsOfCodec], metrics: Mapping[str, MetricFacts], bits_per_pixel: float
) -> str:
    """Return Markdown: a row for each codec, a column for each metric."""
    rows = [
        [one.name, *(_cell(at_rate(one, name, bits_per_pixel), metrics[name]) for name in metrics)]
        for one in curves
    ]
    return table([f"at {bits_per_pixel:.3f} bits per pixel", *map(_title, metrics.values())], rows)


def _title(facts: MetricFacts) -> str:
    title = facts.title if facts.judge is None else f"{facts.judge}: {facts.title}"
    return f"{title}, {facts.unit}" if facts.unit else title


def _cell(value: float | None, facts: MetricFacts) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if facts.unit in ("%", "dB") else f"{value:.4f}"
