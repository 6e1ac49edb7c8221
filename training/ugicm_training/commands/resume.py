"""Go on with a run that was stopped or killed."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_training.checkpoints import Inputs, read_checkpoint
from ugicm_training.commands.options import READABLE
from ugicm_training.commands.sitting import Sitting, sitting_options
from ugicm_training.data import Storage
from ugicm_training.errors import DifferentInputs

__all__ = ["check_same", "resume"]


@click.command()
@click.argument("checkpoint", type=READABLE)
@click.option("--photos", type=READABLE, help="Where the pictures are now.")
@click.option("--teacher", help="Where the teacher is now.")
@click.option("--masks", type=READABLE, help="Where the instances are now.")
@sitting_options
def resume(
    sitting: Sitting, checkpoint: Path, photos: Path | None, teacher: str | None, masks: Path | None
) -> None:
    """Go on from CHECKPOINT, at the same step and with the same result as without a break.

    Recipe, pictures, teacher and instances are the run's; only where they are may have changed.

    Example: ugicm-train resume run.pt --minutes 30
    """
    start = read_checkpoint(checkpoint)
    before = start.inputs
    photos = photos or Path(before.photos)
    if not photos.exists():
        raise click.UsageError(f"the run's pictures are not at {photos}: say where with --photos")
    old_masks = Path(before.masks) if before.masks else None
    fabric = sitting.launch()
    opened = sitting.open(
        fabric,
        start.recipe,
        photos=photos,
        storage=Storage(before.storage),
        teacher=teacher or before.teacher,
        masks=masks or old_masks,
    )
    check_same(before, opened.inputs, checkpoint)
    sitting.train(fabric, start, opened, checkpoint)


def check_same(before: Inputs, now: Inputs, checkpoint: Path) -> None:
    """Let a run go on with what it was trained with, wherever that is now.

    Raises:
        DifferentInputs: the pictures, the teacher or the segmenter are others.
    """
    for what, old, new in (
        ("pictures", before.digest, now.digest),
        ("teacher", before.teacher_description, now.teacher_description),
        ("masks", _segmenter(before), _segmenter(now)),
    ):
        if old != new:
            raise DifferentInputs(
                f"{checkpoint} was trained with other {what}: {old or 'none'} then, "
                f"{new or 'none'} now"
            )


def _segmenter(inputs: Inputs) -> str | None:
    # Not of how many pictures: those that were missing may have been segmented since.
    return inputs.masks_description and inputs.masks_description.rpartition(", ")[0]
