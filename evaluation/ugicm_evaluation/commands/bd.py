"""``ugicm-evaluate bd``: Bjøntegaard deltas between runs, and published curves."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_evaluation.bd import Curve
from ugicm_evaluation.errors import BadRun
from ugicm_evaluation.published import published_curve
from ugicm_evaluation.runs.curves import codec_points, datasets_of, metrics_of, rising_curve
from ugicm_evaluation.runs.deltas import delta_table, deltas
from ugicm_evaluation.runs.results import read_run

__all__ = ["bd"]

# What CompressAI's files of results call the metrics that they hold.
_PUBLISHED = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}
_UNITS = {"psnr": "dB", "ms-ssim": ""}


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--published",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A curve as CompressAI publishes them (JSON), called by its file's name; repeatable.",
)
@click.option("--anchor", required=True, help="The curve that all others are compared with.")
@click.option("--metric", default="psnr", show_default=True, help="As the run's JSON calls it.")
@click.option("--dataset", help="Of the runs; may be left out where there is one.")
def bd(
    runs: tuple[Path, ...],
    published: tuple[Path, ...],
    anchor: str,
    metric: str,
    dataset: str | None,
) -> None:
    """Print BD-rate and BD-metric of all curves in RUNS against one of them.

    Example: ugicm-evaluate bd --published vtm.json --published jpeg.json --anchor vtm
    """
    curves: dict[str, Curve] = {}
    unit = _UNITS.get(metric, "")
    if runs:
        found = [read_run(path) for path in runs]
        datasets = datasets_of(found)
        chosen = dataset or datasets[0]
        if chosen not in datasets or (dataset is None and len(datasets) > 1):
            raise BadRun(f"--dataset names one of {', '.join(datasets)}")
        metrics = metrics_of(found, chosen)
        if metric not in metrics:
            raise BadRun(f"{chosen} has no metric {metric!r}; it has {', '.join(metrics)}")
        unit = metrics[metric].unit
        for one in codec_points(found, chosen):
            curves[one.name] = rising_curve(one, metric, metrics[metric].better)
    if published and metric not in _PUBLISHED:
        raise BadRun(f"published curves are of {' and '.join(_PUBLISHED)}, not of {metric!r}")
    for path in published:
        if path.stem in curves:
            raise BadRun(f"two curves are called {path.stem!r}: rename {path}")
        curves[path.stem] = published_curve(path, metric=_PUBLISHED[metric])
    if len(curves) < 2:
        raise BadRun(f"a delta is between two curves, got {len(curves)}")
    click.echo(
        delta_table(deltas(curves, anchor), anchor=anchor, metric=metric, unit=unit), nl=False
    )
