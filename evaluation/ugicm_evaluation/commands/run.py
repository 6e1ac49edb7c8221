"""``ugicm-evaluate run``: measure what a file names, into one JSON."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ugicm_evaluation.commands.options import CACHE, PROCESSES
from ugicm_evaluation.config import read_config
from ugicm_evaluation.runs.make import make_run
from ugicm_evaluation.runs.results import Run, write_run
from ugicm_training.files import write_file

__all__ = ["finish", "run"]


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of the results; by default NAME.json, after the name in the file.",
)
@PROCESSES
@CACHE
def run(config: Path, output: Path | None, processes: int, cache: Path) -> None:
    """Measure what the TOML file CONFIG names, and write one JSON.

    Pictures that cannot be measured are skipped and named. A killed run goes on where it was.

    Example: ugicm-evaluate run kodak.toml -o kodak.json
    """
    wanted = read_config(config)
    path = output or Path(f"{wanted.name}.json")
    if not path.parent.is_dir():
        raise click.UsageError(f"the folder of {path} does not exist")
    command = shlex.join(["ugicm-evaluate", "run", config.name, "-o", path.name])
    found = make_run(wanted, command=command, cache=cache, processes=processes)
    finish(found, path)


def finish(found: Run, path: Path) -> None:
    """Write a run, and say what it measured and what it skipped."""
    write_file(path, write_run(found))
    for one in found.skipped:
        click.echo(f"skipped {one.dataset}/{one.picture}: {one.reason}", err=True)
    measured = sum(one.pictures for one in found.datasets)
    click.echo(f"{path}: {measured} pictures measured, {len(found.skipped)} skipped")
