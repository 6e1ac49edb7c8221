"""Write a checkpoint as a model file."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import load_photos
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.files import write_file
from ugicm_training.recipes import RECIPES
from ugicm_training.trainer import Trainer

__all__ = ["export"]


@click.command()
@click.argument("checkpoint", type=READABLE)
@click.argument("photos", type=READABLE)
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), default="default", show_default=True)
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
def export(checkpoint: Path, photos: Path, recipe: str, output: Path) -> None:
    """Write CHECKPOINT as a model file, calibrated on PHOTOS.

    Example: ugicm-train export run.pt photos/ -o model.safetensors
    """
    chosen = RECIPES[recipe]()
    pictures = load_photos(photos, minimum_side=chosen.minimum_side)
    trainer = Trainer(
        chosen,
        pictures,
        teacher=None,
        device=torch.device("cpu"),
        precision=torch.float32,
        checkpoint=checkpoint,
    )
    trainer.resume()
    data = export_model(
        trainer.model,
        calibration=calibration_crops(pictures),
        quality_steps=chosen.quality_steps,
        training=trainer.record,
    )
    write_file(output, data)
    click.echo(f"{output}: {len(data)} bytes")
