"""Types of arguments that several subcommands take."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["PATH", "READABLE"]

PATH = click.Path(path_type=Path)
READABLE = click.Path(path_type=Path, exists=True)
