"""Fit the stand-in for CLIP, and measure it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import photo_members
from ugicm_training.errors import BadEmbeddings, EmptyDataset
from ugicm_training.files import write_file
from ugicm_training.teacher import fit_projection, retrieval

__all__ = ["teacher"]

# Pictures of the teacher's set that its retrieval is measured on and its fit never sees.
_HELD_OUT = 300


@click.command()
@click.argument("photos", type=READABLE)
@click.option("--weights", type=READABLE, required=True, help="mobilenet_v2 as safetensors.")
@click.option(
    "--embeddings",
    type=READABLE,
    required=True,
    help=".npz with names and clip_vitb32, CLIP's image embeddings of some of PHOTOS.",
)
@click.option("--prefix", default="", help="Put before a name to get a picture's file name.")
@click.option("--penalty", type=float, default=1.0, show_default=True, help="Of the regression.")
@click.option("-o", "--output", type=PATH, required=True, help="Teacher file to write.")
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
    write_file(output, data)
    click.echo(
        f"{output}: the right photo of {_HELD_OUT} unseen ones in {first:.0%}, "
        f"among five in {five:.0%}"
    )
