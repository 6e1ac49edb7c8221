"""Tables of runs, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from ugicm_evaluation.markdown import table
from ugicm_evaluation.runs.curves import codec_points, datasets_of, metrics_of
from ugicm_evaluation.runs.results import Figure, MetricFacts, Point, Run

__all__ = ["csv_tables", "markdown_tables", "point_table"]

_CSV_COLUMNS = (
    "run", "dataset", "codec", "quality", "view", "bits_per_pixel", "metric", "unit", "value",
    "low", "high", "pictures",
)  # fmt: skip


def markdown_tables(runs: Sequence[Run]) -> str:
    """Return a section for each data set: a row for each point, with 95 % intervals."""
    parts = []
    for dataset in datasets_of(runs):
        metrics = metrics_of(runs, dataset)
        named = [
            (points.name, point)
            for points in codec_points(runs, dataset)
            for point in points.points
        ]
        originals = next(
            one.originals for run in runs for one in run.datasets if one.name == dataset
        )
        parts += [
            f"## {dataset}",
            _pictures(runs, dataset),
            point_table(named, metrics, originals),
        ]
    if any(run.skipped for run in runs):
        parts += ["## Skipped pictures", _skipped(runs)]
    return "\n\n".join(parts) + "\n"


def point_table(
    points: Iterable[tuple[str, Point]],
    metrics: Mapping[str, MetricFacts],
    originals: Mapping[str, Figure],
) -> str:
    """Return Markdown: a row for each point under a name, then what judges make of originals."""
    rows = [
        [
            name,
            str(point.quality),
            f"{point.bits_per_pixel:.4f}",
            *(_cell(point.figures.get(metric), facts) for metric, facts in metrics.items()),
        ]
        for name, point in points
    ]
    if originals:
        cells = [_cell(originals.get(metric), facts) for metric, facts in metrics.items()]
        rows.append(["uncompressed", "", "", *cells])
    return table(["codec", "quality", "bits per pixel", *map(_title, metrics.values())], rows)


def csv_tables(runs: Sequence[Run]) -> str:
    """Return one row for each figure of each point."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for run in runs:
        for point in run.points:
            for name, figure in point.figures.items():
                writer.writerow(
                    [
                        run.name,
                        point.dataset,
                        point.codec,
                        point.quality,
                        point.view,
                        point.bits_per_pixel,
                        name,
                        run.metrics[name].unit,
                        figure.value,
                        figure.low,
                        figure.high,
                        figure.pictures,
                    ]
                )
    return file.getvalue()


def _cell(figure: Figure | None, facts: MetricFacts) -> str:
    known = None if figure is None else figure.known
    if known is None:
        return ""
    digits = 2 if facts.unit in ("%", "dB") else 4
    return f"{known.value:.{digits}f} [{known.low:.{digits}f}, {known.high:.{digits}f}]"


def _title(facts: MetricFacts) -> str:
    title = facts.title if facts.judge is None else f"{facts.judge}: {facts.title}"
    return f"{title}, {facts.unit}" if facts.unit else title


def _pictures(runs: Sequence[Run], dataset: str) -> str:
    facts = next(one for run in runs for one in run.datasets if one.name == dataset)
    reduced = f", {facts.reduced} of them reduced" if facts.reduced else ""
    return (
        f"{facts.pictures} pictures{reduced} (SHA-256 of their hashes `{facts.sha256[:16]}...`); "
        "means over pictures, with 95 % intervals."
    )


def _skipped(runs: Sequence[Run]) -> str:
    lines = [f"- {one.dataset}/{one.picture}: {one.reason}" for run in runs for one in run.skipped]
    return "\n".join(dict.fromkeys(lines))
