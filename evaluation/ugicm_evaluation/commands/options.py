"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["CACHE", "PROCESSES", "RUNS"]

PROCESSES = click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".ugicm-evaluation"),
    show_default=True,
    help="Keeps what was measured: a killed run goes on, and a second one is quick.",
)
RUNS = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
