"""Find the instances of a set of pictures, once."""

from __future__ import annotations

import logging
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import photo_members
from ugicm_training.errors import EmptyDataset
from ugicm_training.instances.classical import ColourRegions
from ugicm_training.instances.precompute import precompute
from ugicm_training.instances.store import MaskStore

__all__ = ["masks"]

_log = logging.getLogger(__name__)


@click.command()
@click.argument("photos", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="File of masks; added to.")
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="That segment."
)
def masks(photos: Path, output: Path, processes: int) -> None:
    """Find instances in the pictures and .tar shards under PHOTOS, for training to read.

    Pictures that the file already has are left alone: run the command again after it was
    interrupted, or after pictures were added.

    Example: ugicm-train masks photos/ -o photos.masks
    """
    segmenter = ColourRegions
    total = sum(1 for _ in photo_members(photos))
    if not total:
        raise EmptyDataset(f"no picture under {photos}")
    broken: list[str] = []
    with MaskStore.create(output, segmenter().description) as store, _progress() as progress:
        known = set(store.names())
        task = progress.add_task("segmenting", total=total, completed=len(known))
        left = ((name, data) for name, data in photo_members(photos) if name not in known)
        for outcome in precompute(left, segmenter, store, processes=processes):
            progress.advance(task)
            if outcome.masks is None:
                broken.append(outcome.name)
    if broken:
        _log.warning("skipped %d unreadable pictures, the first is %s", len(broken), broken[0])
    with MaskStore.open(output) as store:
        click.echo(f"{output}: masks of {len(store)} pictures")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
