"""Fit the stand-in for CLIP, and measure any teacher."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import photo_members
from ugicm_training.data.decoding import UNREADABLE, decode_picture
from ugicm_training.engine import make_fabric
from ugicm_training.errors import BadEmbeddings, EmptyDataset
from ugicm_training.files import write_file
from ugicm_training.teachers.fitting import (
    FitSettings,
    Retrieval,
    fit_mapping,
    measure_retrieval,
)
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.stand_in import (
    Features,
    StandIn,
    StandInRecord,
    read_backbone,
    stand_in_file,
)

__all__ = ["teacher"]

_EMBEDDINGS = click.option(
    "--embeddings",
    type=READABLE,
    required=True,
    help=".npz with names and clip_vitb32, CLIP's image embeddings of some of PHOTOS.",
)
_PREFIX = click.option(
    "--prefix", default="", help="Put before a name to get a picture's file name."
)

_DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1."
)

_log = logging.getLogger(__name__)

# What NumPy raises on a file that is no .npz of these arrays.
_UNREADABLE = (
    EOFError,
    IndexError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)

# The stand-in may be shown smaller pictures, for speed: what that costs is measured as well.
_SIDES = (224, 192, 160, 128)


@click.group()
def teacher() -> None:
    """Fit the stand-in for CLIP, and measure teachers."""


@teacher.command()
@click.argument("photos", type=READABLE)
@click.option("--weights", type=READABLE, required=True, help="mobilenet_v2 as safetensors.")
@_EMBEDDINGS
@_PREFIX
@click.option(
    "--held-out",
    type=click.IntRange(min=5),
    default=300,
    show_default=True,
    help="Photos that the fit never sees, and retrieval is measured on.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=FitSettings.steps,
    show_default=True,
    help="Of the fit.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the fit.")
@_DEVICE
@click.option("-o", "--output", type=PATH, required=True, help="Teacher file to write.")
def fit(
    photos: Path,
    weights: Path,
    embeddings: Path,
    prefix: str,
    held_out: int,
    steps: int,
    seed: int,
    device: str,
    output: Path,
) -> None:
    """Fit the stand-in for CLIP, and measure how it retrieves photos it never saw.

    Example: ugicm-train teacher fit photos/ --weights mobilenet_v2.safetensors
    --embeddings clip.npz -o teacher.safetensors
    """
    chosen = make_fabric(device, 1).device
    backbone = read_backbone(weights)
    pictures, targets = _pairs(photos, embeddings, prefix)
    if len(pictures) <= held_out:
        raise EmptyDataset(f"{len(pictures)} photos with embeddings, {held_out} are held out")
    features = Features(backbone, chosen)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        settings = FitSettings(steps=steps, seed=seed)
        mapping = fit_mapping(features, pictures[held_out:], targets[held_out:], settings, progress)
    found: dict[int, Retrieval] = {}
    for side in _SIDES:
        fitted = StandIn(features, mapping.projection, mapping.offset, side=side)
        found[side] = measure_retrieval(
            fitted, pictures[:held_out], targets[:held_out], features.device
        )
    record = StandInRecord(
        photos=len(pictures) - held_out,
        held_out=held_out,
        first=found[_SIDES[0]].first,
        five=found[_SIDES[0]].five,
    )
    write_file(output, stand_in_file(backbone, mapping.projection, mapping.offset, record))
    click.echo(f"{output}: fitted to {record.photos} photos; of those it never saw,")
    for side, retrieval in found.items():
        click.echo(f"shown {side} pixels: {_told(retrieval)}")


@teacher.command()
@click.argument("specification")
@click.argument("photos", type=READABLE)
@_EMBEDDINGS
@_PREFIX
@click.option("--side", type=click.IntRange(min=32), help="Of the pictures it is shown.")
@_DEVICE
def measure(
    specification: str,
    photos: Path,
    embeddings: Path,
    prefix: str,
    side: int | None,
    device: str,
) -> None:
    """Say how often the teacher SPECIFICATION finds CLIP's own vectors of PHOTOS.

    A specification is open_clip:MODEL:TAG, open_clip:MODEL:FILE, open_clip:MODEL:TAG=FILE or
    stand-in:FILE. Photos that a stand-in was fitted to say nothing of it.

    Example: ugicm-train teacher measure stand-in:teacher.safetensors photos/ --embeddings clip.npz
    """
    chosen = make_fabric(device, 1).device
    opened = open_teacher(specification, chosen, side=side)
    pictures, targets = _pairs(photos, embeddings, prefix)
    retrieval = measure_retrieval(opened, pictures, targets, chosen)
    click.echo(f"{opened.description}\nshown {opened.side} pixels: {_told(retrieval)}")


def _told(retrieval: Retrieval) -> str:
    return (
        f"the right photo of {retrieval.photos} in {retrieval.first:.1%}, "
        f"among five in {retrieval.five:.1%}"
    )


def _pairs(
    photos: Path, embeddings: Path, prefix: str
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return the photos that have embeddings, in an order that depends on their names alone."""
    of_name = _vectors(embeddings, prefix)
    found = {name: data for name, data in photo_members(photos) if name in of_name}
    names = sorted(found)
    np.random.default_rng(0).shuffle(names)
    pictures, vectors = [], []
    for name in names:
        try:
            pictures.append(decode_picture(found[name]))
        except UNREADABLE:
            _log.warning("skipped %s: it is no picture", name)
            continue
        vectors.append(of_name[name])
    if not pictures:
        raise EmptyDataset(
            f"none of the {len(of_name)} photos that {embeddings} names, such as "
            f"{next(iter(of_name), 'none')!r}, is under {photos}; --prefix completes names"
        )
    return pictures, np.stack(vectors)


def _vectors(embeddings: Path, prefix: str) -> dict[str, NDArray[np.float32]]:
    try:
        with np.load(embeddings) as table:
            vectors = table["clip_vitb32"].astype(np.float32)
            names = [prefix + str(name) for name in table["names"]]
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("clip_vitb32 is no table of numbers")
        return dict(zip(names, vectors, strict=True))
    except _UNREADABLE as error:
        raise BadEmbeddings(f"{embeddings} holds no names and clip_vitb32: {error}") from error
