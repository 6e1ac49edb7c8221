"""``ugicm-evaluate tables``: runs as Markdown and CSV."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_evaluation.commands.options import RUNS
from ugicm_evaluation.runs.results import read_run
from ugicm_evaluation.runs.tables import csv_tables, markdown_tables
from ugicm_training.files import write_file

__all__ = ["tables"]


@click.command()
@RUNS
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for tables.md and tables.csv; by default Markdown goes to the terminal.",
)
def tables(runs: tuple[Path, ...], output: Path | None) -> None:
    """Write tables of the results in RUNS, JSON files of `ugicm-evaluate run`."""
    found = [read_run(path) for path in runs]
    markdown = markdown_tables(found)
    if output is None:
        click.echo(markdown, nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    write_file(output / "tables.md", markdown.encode())
    write_file(output / "tables.csv", csv_tables(found).encode())
    click.echo(f"{output / 'tables.md'}, {output / 'tables.csv'}")
