"""Make a checkpoint small, and carry it in pieces."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_training import packing
from ugicm_training.checkpoints import read_checkpoint
from ugicm_training.commands.options import PATH, READABLE

__all__ = ["pack", "unpack"]


@click.command()
@click.argument("checkpoint", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="Folder; made if it is not there.")
def pack(checkpoint: Path, output: Path) -> None:
    """Write CHECKPOINT in half precision, in pieces of at most 16 MiB.

    Example: ugicm-train pack run.pt -o packed/
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise click.UsageError(f"{output} is no empty folder")
    files = packing.pack(read_checkpoint(checkpoint), output)
    size = sum(path.stat().st_size for path in files)
    click.echo(f"{output}: {size} bytes in {len(files)} files, {checkpoint.stat().st_size} before")


@click.command()
@click.argument("folder", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="Checkpoint to write.")
def unpack(folder: Path, output: Path) -> None:
    """Make a checkpoint of what `ugicm-train pack` wrote into FOLDER.

    Example: ugicm-train unpack packed/ -o run.pt
    """
    if output.exists():
        raise click.UsageError(f"{output} exists")
    packing.unpack(folder).write(output)
    click.echo(f"{output}: `ugicm-train resume` goes on from it")
