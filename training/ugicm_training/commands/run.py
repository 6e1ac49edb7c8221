"""Train a model from its recipe."""

from __future__ import annotations

import math
from pathlib import Path

import click
import torch

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import load_photos
from ugicm_training.recipes import RECIPES
from ugicm_training.teacher import MobileNetTeacher
from ugicm_training.trainer import Trainer

__all__ = ["run"]


@click.command()
@click.argument("photos", type=READABLE)
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), default="default", show_default=True)
@click.option("--teacher", type=READABLE, help="File that `ugicm-train teacher` wrote.")
@click.option("--checkpoint", type=PATH, required=True, help="Written while training.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint.")
@click.option("--minutes", type=float, default=math.inf, help="Stop with a checkpoint after.")
@click.option("--device", default="cpu", show_default=True, help="As PyTorch names it.")
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    default="bfloat16",
    show_default=True,
)
def run(
    photos: Path,
    recipe: str,
    teacher: Path | None,
    checkpoint: Path,
    resume: bool,
    minutes: float,
    device: str,
    precision: str,
) -> None:
    """Train on the pictures and .tar shards under PHOTOS.

    Example: ugicm-train run photos/ --teacher teacher.safetensors --checkpoint run.pt
    """
    if not resume and checkpoint.exists():
        raise click.UsageError(f"{checkpoint} exists: --resume goes on from it")
    chosen = RECIPES[recipe]()
    trainer = Trainer(
        chosen,
        load_photos(photos, minimum_side=chosen.minimum_side),
        teacher=MobileNetTeacher.load(teacher, torch.device(device)) if teacher else None,
        device=torch.device(device),
        precision=getattr(torch, precision),
        checkpoint=checkpoint,
        seconds=60.0 * minutes,
    )
    if resume:
        trainer.resume()
    trainer.run()
    click.echo(f"{checkpoint}: {'finished' if trainer.finished else 'stopped, --resume goes on'}")
