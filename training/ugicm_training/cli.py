"""The ``ugicm-train`` command."""

from __future__ import annotations

import io
import logging
import math
import sys
import zipfile
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from ugicm_codec.errors import CodecError
from ugicm_training.data import load_photos, photo_members
from ugicm_training.errors import BadEmbeddings, EmptyDataset, TrainingError
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.recipes import RECIPES
from ugicm_training.teacher import MobileNetTeacher, fit_projection, retrieval
from ugicm_training.trainer import Trainer

__all__ = ["main"]

_PATH = click.Path(path_type=Path)
_READABLE = click.Path(path_type=Path, exists=True)

# Pictures of the teacher's set that its retrieval is measured on and its fit never sees.
_HELD_OUT = 300


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train, resume and export UG-ICM models."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@cli.command()
@click.argument("photos", type=_READABLE)
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), default="default", show_default=True)
@click.option("--teacher", type=_READABLE, help="File that `ugicm-train teacher` wrote.")
@click.option("--checkpoint", type=_PATH, required=True, help="Written while training.")
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


@cli.command()
@click.argument("checkpoint", type=_READABLE)
@click.argument("photos", type=_READABLE)
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), default="default", show_default=True)
@click.option("-o", "--output", type=_PATH, required=True, help="Model file to write.")
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
    _write(output, data)
    click.echo(f"{output}: {len(data)} bytes")


@cli.command()
@click.argument("photos", type=_READABLE)
@click.option("--weights", type=_READABLE, required=True, help="mobilenet_v2 as safetensors.")
@click.option(
    "--embeddings",
    type=_READABLE,
    required=True,
    help=".npz with names and clip_vitb32, CLIP's image embeddings of some of PHOTOS.",
)
@click.option("--prefix", default="", help="Put before a name to get a picture's file name.")
@click.option("--penalty", type=float, default=1.0, show_default=True, help="Of the regression.")
@click.option("-o", "--output", type=_PATH, required=True, help="Teacher file to write.")
def teacher(
    photos: Path, weights: Path, embeddings: Path, prefix: str, penalty: float, output: Path
) -> None:
    """Fit the stand-in for CLIP and measure how it retrieves photos it never saw.

    Example: ugicm-train teacher photos/ --weights mobilenet_v2.safetensors
    --embeddings clip.npz -o teacher.safetensors
    """
    try:
        table = np.load(embeddings)
        vectors = table["clip_vitb32"].astype(np.float32)
        rows = zip(table["names"], vectors, strict=True)
        of_name = {prefix + str(name): row for name, row in rows}
    except (KeyError, IndexError, ValueError, zipfile.BadZipFile) as error:
        raise BadEmbeddings(f"{embeddings} holds no names and clip_vitb32: {error}") from error
    found = {name: data for name, data in photo_members(photos) if name in of_name}
    names = sorted(found)
    if len(names) <= _HELD_OUT:
        raise EmptyDataset(
            f"{len(names)} of the embeddings' pictures found, {_HELD_OUT} are held out"
        )
    np.random.default_rng(0).shuffle(names)
    pictures = [np.asarray(Image.open(io.BytesIO(found[name])).convert("RGB")) for name in names]
    targets = np.stack([of_name[name] for name in names])
    fitted, data = fit_projection(
        weights, pictures[_HELD_OUT:], targets[_HELD_OUT:], penalty=penalty
    )
    first, five = retrieval(fitted, pictures[:_HELD_OUT], targets[:_HELD_OUT])
    _write(output, data)
    click.echo(
        f"{output}: the right photo of {_HELD_OUT} unseen ones in {first:.0%}, "
        f"among five in {five:.0%}"
    )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data)
    temporary.replace(path)


def main() -> None:
    """Run the command; errors are one line on stderr, and exit code 1."""
    try:
        cli(standalone_mode=True)
    except (TrainingError, CodecError, OSError) as error:
        click.echo(f"ugicm-train: {error}", err=True)
        sys.exit(1)
