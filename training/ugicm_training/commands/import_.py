"""Turn a published checkpoint into a model file."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.data import load_photos
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.files import write_file
from ugicm_training.imported.kinds import import_checkpoint

__all__ = ["import_"]

_MINIMUM_SIDE = 64


@click.command("import")
@click.argument("checkpoint", type=READABLE)
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
@click.option(
    "--calibration",
    type=READABLE,
    help="Pictures from which the fixed-point activations get their range, beside what the "
    "entropy model expects.",
)
@click.option(
    "--lambda",
    "distortion_weight",
    type=click.FloatRange(min=0.0, min_open=True),
    default=0.01,
    show_default="0.01, as in CompressAI's examples/train.py",
    help="That it was trained with: stands in the record, for training further.",
)
def import_(
    checkpoint: Path, output: Path, calibration: Path | None, distortion_weight: float
) -> None:
    """Turn a published CHECKPOINT into a model file, ready to serve.

    Known by the names in it: CompressAI's bmshj2018-hyperprior, MLIC++ (the layouts of 2023 and
    2024), and UG-ICM on MLIC++. One quality; all views of a plain backbone are the human view until
    a retrofit trains them.

    Example: ugicm-train import checkpoint_best_loss.pth.tar -o model.safetensors
    """
    imported = import_checkpoint(checkpoint, distortion_weight)
    pictures = load_photos(calibration, minimum_side=_MINIMUM_SIDE) if calibration else None
    data = export_model(
        imported.model,
        calibration=calibration_crops(pictures) if pictures else None,
        quality_steps=1,
        training=imported.record,
    )
    write_file(output, data)
    config = imported.model.config
    click.echo(
        f"{output}: {imported.kind.value}, N={config.channels}, M={config.latent_channels}, "
        f"{len(data)} bytes"
    )
