"""The ``ugicm-train`` command."""

from __future__ import annotations

import logging
import sys

import click

from ugicm_codec.errors import CodecError
from ugicm_training.commands.check import check
from ugicm_training.commands.export import export
from ugicm_training.commands.import_ import import_
from ugicm_training.commands.join import join_
from ugicm_training.commands.masks import masks
from ugicm_training.commands.pack import pack, unpack
from ugicm_training.commands.resume import resume
from ugicm_training.commands.run import run
from ugicm_training.commands.teacher import teacher
from ugicm_training.errors import TrainingError

__all__ = ["main"]

_COMMANDS = (run, resume, teacher, masks, export, join_, check, import_, pack, unpack)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train, resume and export UG-ICM models."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command; errors are one line on stderr, and exit code 1."""
    try:
        cli(standalone_mode=True)
    except (TrainingError, CodecError, OSError) as error:
        click.echo(f"ugicm-train: {error}", err=True)
        sys.exit(1)
