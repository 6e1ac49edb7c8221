"""``ugicm-evaluate plot``: runs as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_evaluation.commands.options import RUNS
from ugicm_evaluation.drawing import png, svg
from ugicm_evaluation.runs.plots import plots
from ugicm_evaluation.runs.results import read_run
from ugicm_training.files import write_file

__all__ = ["plot"]


@click.command()
@RUNS
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True)
def plot(runs: tuple[Path, ...], output: Path) -> None:
    """Draw the results in RUNS: rate-distortion, rate-accuracy and the view, as PNG and SVG."""
    figures = plots([read_run(path) for path in runs])
    output.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        for suffix, write in ((".png", png), (".svg", svg)):
            write_file(output / f"{name}{suffix}", write(figure))
            click.echo(output / f"{name}{suffix}")
