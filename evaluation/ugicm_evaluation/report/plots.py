"""Draws a report's curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ugicm_evaluation.drawing import finish, grid, png
from ugicm_evaluation.report.results import Judged, RateDistortion

__all__ = ["judges_plot", "rate_distortion_plot", "views_plot"]

# Told apart by people with any colour vision, in print as well (Okabe and Ito, 2008).
_COLOURS = {
    "human": "#0072B2",
    "machine": "#D55E00",
    "baseline": "#009E73",
    "JPEG": "#777777",
    "WebP": "#CC79A7",
}
_MARKERS = {"human": "o", "machine": "s", "baseline": "^", "JPEG": "", "WebP": ""}


def rate_distortion_plot(found: RateDistortion) -> bytes:
    """Return a PNG of PSNR against bits per pixel, over the range that the model covers."""
    figure = Figure(figsize=(7, 4.6), layout="constrained", facecolor="white")
    axes = figure.subplots()
    rates = [point.bits_per_pixel for point in found.curves["human"]]
    left, right = 0.8 * min(rates), 1.15 * max(rates)
    shown = []
    for name, points in found.curves.items():
        x = [point.bits_per_pixel for point in points]
        y = [point.psnr for point in points]
        axes.plot(x, y, color=_COLOURS[name], marker=_MARKERS[name], markersize=4, label=name)
        shown += [psnr for rate, psnr in zip(x, y, strict=True) if left <= rate <= right]
    axes.set_xlim(left, right)
    axes.set_ylim(min(shown) - 0.3, max(shown) + 0.3)
    axes.set_xlabel("bits per pixel, of whole files")
    axes.set_ylabel("PSNR in dB")
    axes.set_title(f"{found.dataset}: mean over pictures")
    finish(axes)
    return png(figure)


def judges_plot(judged: Sequence[Judged]) -> bytes:
    """Return a PNG of each judge's leading metric against bits per pixel."""
    figure, places = grid(len(judged))
    for axes, one in zip(places, judged, strict=True):
        rows = [row for row in one.rows if row.quality is not None]
        rates = [row.bits_per_pixel for row in rows]
        curves: dict[str, list[float]] = {
            "human": [row.human for row in rows],
            "machine": [row.machine for row in rows],
        }
        baseline = [row.baseline for row in rows if row.baseline is not None]
        if len(baseline) == len(rows):
            curves["baseline"] = baseline
        for name, values in curves.items():
            axes.plot(
                rates, values, color=_COLOURS[name], marker=_MARKERS[name], markersize=4, label=name
            )
        _title(axes, one)
        axes.set_xlabel("bits per pixel")
        finish(axes)
    return png(figure)


def views_plot(judged: Sequence[Judged]) -> bytes:
    """Return a PNG of what each metric gains along the view, with 95 % intervals."""
    figure, places = grid(len(judged))
    for axes, one in zip(places, judged, strict=True):
        views = [row.view for row in one.views]
        gains = [row.over_human for row in one.views]
        values = [gain.value for gain in gains]
        axes.fill_between(
            views,
            [gain.low for gain in gains],
            [gain.high for gain in gains],
            color=_COLOURS["machine"],
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(views, values, color=_COLOURS["machine"], marker="s", markersize=4)
        axes.axhline(0.0, color="black", linewidth=0.8)
        _title(axes, one)
        axes.set_xlabel("view: 0 human, 1 machine")
        axes.grid(alpha=0.3)
    return png(figure)


def _title(axes: Axes, judged: Judged) -> None:
    unit = f", {judged.unit}" if judged.unit else ""
    axes.set_title(f"{judged.judge} ({judged.dataset})\n{judged.metric}{unit}", fontsize=9)
