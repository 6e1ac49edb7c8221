"""Compare a model file with the float model that it came from."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ugicm_training.check import CheckResult, check_export
from ugicm_training.checkpoints import read_checkpoint
from ugicm_training.commands.options import READABLE
from ugicm_training.data import load_photos
from ugicm_training.model import Trainable
from ugicm_training.pretrained import load_start

__all__ = ["check"]

_MINIMUM_SIDE = 64

# Distortion's weight plays no part in a comparison.
_LAMBDAS = (1.0, 1.0)


@click.command()
@click.argument("model")
@click.argument("photos", type=READABLE)
@click.option(
    "--checkpoint",
    type=READABLE,
    help="That MODEL was exported from; without it, the float model is made of MODEL itself.",
)
def check(model: str, photos: Path, checkpoint: Path | None) -> None:
    """Compare MODEL, a file or a bundled name, with its float model on PHOTOS.

    Streams must have the float model's estimated size within 0.5 % + 64 bytes, latents must be
    the same on every device, thread count and exact product, and no activation may saturate.
    Exits with 1 where that is not so.

    Example: ugicm-train check model.safetensors photos/ --checkpoint run.pt
    """
    float_model: Trainable
    if checkpoint is None:
        float_model = load_start(model, lambdas=_LAMBDAS).model
    else:
        float_model = read_checkpoint(checkpoint).model()
    pictures = load_photos(photos, minimum_side=_MINIMUM_SIDE).pictures
    result = check_export(model, float_model, pictures)
    _print(result)
    sys.exit(0 if result.passed else 1)


def _print(result: CheckResult) -> None:
    console = Console()
    table = Table("quality")
    for heading in ("bpp", "estimate", "off", "human", "float", "machine", "float"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        table.add_row(
            str(row.quality),
            f"{row.stream_bpp:.4f}",
            f"{row.estimated_bpp:.4f}",
            f"{row.worst:.0%}",
            f"{row.export_psnr[0]:.2f}",
            f"{row.float_psnr[0]:.2f}",
            f"{row.export_psnr[1]:.2f}",
            f"{row.float_psnr[1]:.2f}",
        )
    console.print(table)
    console.print("off: the worst stream's distance from its estimate, of 0.5 % + 64 bytes allowed")
    console.print("human, machine: PSNR in dB of the decoded streams, beside the float model's")
    for agreement in result.agreements:
        console.print(f"{agreement.variant}: {agreement.verdict.value}")
    console.print(f"saturated activations: {result.saturated:.2%}")
    console.print("passed" if result.passed else "FAILED")
