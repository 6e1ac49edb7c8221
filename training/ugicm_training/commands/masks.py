"""Find the instances of a set of pictures, once."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from enum import StrEnum
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import photo_members, photo_names
from ugicm_training.data.decoding import Skipped
from ugicm_training.errors import BadDataset, EmptyDataset
from ugicm_training.instances.classical import ColourRegions
from ugicm_training.instances.precompute import precompute
from ugicm_training.instances.precomputed import CocoFile
from ugicm_training.instances.protocol import Segmenter
from ugicm_training.instances.store import MaskStore
from ugicm_training.instances.ultralytics_ import Family, SegmentAnything

__all__ = ["masks"]

_log = logging.getLogger(__name__)


class _Choice(StrEnum):
    COLOUR = "colour"
    FASTSAM = "fastsam"
    SAM = "sam"
    COCO = "coco"


@click.command()
@click.argument("photos", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="File of masks; added to.")
@click.option(
    "--segmenter",
    type=click.Choice([choice.value for choice in _Choice]),
    default=_Choice.COLOUR.value,
    show_default=True,
    help="Regions of one colour, which need no weights; a network, through ultralytics; "
    "or masks made elsewhere.",
)
@click.option(
    "--weights",
    type=PATH,
    help="Of fastsam or sam: a file, or a name that ultralytics fetches "
    "(FastSAM-s.pt, mobile_sam.pt, sam2.1_b.pt).",
)
@click.option("--annotations", type=READABLE, help="Of coco: annotations or results as JSON.")
@click.option("--device", default="cpu", show_default=True, help="Of a network.")
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="That segment."
)
def masks(
    photos: Path,
    output: Path,
    segmenter: str,
    weights: Path | None,
    annotations: Path | None,
    device: str,
    processes: int,
) -> None:
    """Find instances in the pictures and .tar shards under PHOTOS, for training to read.

    Pictures that the file already has are left alone: run the command again after it was
    interrupted, or after pictures were added.

    Example: ugicm-train masks photos/ -o photos.masks --processes 8
    """
    chosen = _chosen(_Choice(segmenter), weights, annotations, device)
    names = _names(photos)
    broken = Skipped(minimum_side=0)
    bare: list[str] = []
    with MaskStore.create(output, chosen.description) as store, _progress() as progress:
        known = store.names()
        task = progress.add_task(
            "segmenting", total=len(names), completed=sum(name in known for name in names)
        )
        left = ((name, data) for name, data in photo_members(photos) if name not in known)
        # Closed before the store is: what an interrupted run has segmented is still added.
        with closing(precompute(left, chosen, store, processes=processes)) as outcomes:
            for outcome in outcomes:
                progress.advance(task)
                if outcome.masks is None:
                    broken.add_unreadable(outcome.name)
                elif not outcome.masks.counts:
                    bare.append(outcome.name)
    broken.report()
    if bare:
        _log.warning("found nothing in %d pictures, the first is %s", len(bare), bare[0])
    with MaskStore.open(output) as store:
        click.echo(f"{output}: masks of {len(store)} pictures")


def _names(photos: Path) -> list[str]:
    names = list(photo_names(photos))
    if not names:
        raise EmptyDataset(f"no picture under {photos}")
    (common, times), *_ = Counter(names).most_common(1)
    if times > 1:
        raise BadDataset(f"{times} pictures under {photos} are named {common}: masks go by names")
    return names


def _chosen(
    choice: _Choice, weights: Path | None, annotations: Path | None, device: str
) -> Segmenter:
    if choice is _Choice.COLOUR:
        return ColourRegions()
    if choice is _Choice.COCO:
        if annotations is None:
            raise click.UsageError("--segmenter coco needs --annotations")
        file = CocoFile(annotations)
        file.check()
        return file
    if weights is None:
        raise click.UsageError(f"--segmenter {choice} needs --weights")
    family = Family.FASTSAM if choice is _Choice.FASTSAM else Family.SAM
    network = SegmentAnything(family, weights, device)
    network.check()
    return network


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
