"""The ``ugicm-evaluate`` command."""

from __future__ import annotations

import sys

import click

from ugicm_analyzers.errors import AnalyzerError
from ugicm_codec.errors import CodecError
from ugicm_evaluation.commands.bd import bd
from ugicm_evaluation.commands.plot import plot
from ugicm_evaluation.commands.preset import preset
from ugicm_evaluation.commands.report import report
from ugicm_evaluation.commands.results import results
from ugicm_evaluation.commands.run import run
from ugicm_evaluation.commands.tables import tables
from ugicm_evaluation.errors import EvaluationError
from ugicm_training.errors import TrainingError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure codecs, for people and for models that look at pictures."""


for command in (run, preset, tables, plot, bd, report, results):
    cli.add_command(command)


def main() -> None:
    """Run the command; errors are one line on stderr, and exit code 1."""
    try:
        cli(standalone_mode=True)
    except (EvaluationError, AnalyzerError, CodecError, TrainingError, OSError) as error:
        click.echo(f"ugicm-evaluate: {error}", err=True)
        sys.exit(1)
