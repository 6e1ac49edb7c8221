"""What all plots share: grids of axes, and files that are the same for the same figures."""

from __future__ import annotations

import io
import math

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["finish", "grid", "png", "svg"]

_DOTS_PER_INCH = 120


def grid(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many axes, three in a row."""
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3.6 * columns, 3.1 * rows), layout="constrained", facecolor="white")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in places[count:]:
        axes.set_axis_off()
    return figure, places[:count]


def finish(axes: Axes) -> None:
    """Add lines to read values by, and the legend."""
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def png(figure: Figure) -> bytes:
    """Return a PNG file."""
    file = io.BytesIO()
    # Without matplotlib's own version in it, the same figures give the same file.
    figure.savefig(file, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def svg(figure: Figure) -> bytes:
    """Return an SVG file with its text as text."""
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "ugicm", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
