"""Write a checkpoint as a model file."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_training.checkpoints import read_checkpoint
from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import load_photos
from ugicm_training.export import calibration_crops, export_model, export_record
from ugicm_training.files import write_file

__all__ = ["export"]


@click.command()
@click.argument("checkpoint", type=READABLE)
@click.argument("photos", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
@click.option("--commit", help="Of the source that trained it, for the record.")
@click.option("--sources", help="Where the pictures came from, for the record.")
def export(
    checkpoint: Path, photos: Path, output: Path, commit: str | None, sources: str | None
) -> None:
    """Write CHECKPOINT as a model file, calibrated on PHOTOS.

    Example: ugicm-train export run.pt photos/ -o model.safetensors
    """
    run = read_checkpoint(checkpoint)
    pictures = load_photos(photos, minimum_side=run.recipe.minimum_side)
    data = export_model(
        run.model(),
        calibration=calibration_crops(pictures),
        quality_steps=run.recipe.quality_steps,
        training=run.record | {"export": export_record(pictures, commit, sources)},
        base=run.base,
    )
    write_file(output, data)
    click.echo(f"{output}: {len(data)} bytes")
