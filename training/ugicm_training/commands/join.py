"""Join the human view of one model file with the machine view of another."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_codec.models.modelfile import read_model_file
from ugicm_training.commands.options import PATH
from ugicm_training.files import write_file
from ugicm_training.joining import join

__all__ = ["join_"]


@click.command("join")
@click.argument("human")
@click.argument("machine")
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
def join_(human: str, machine: str, output: Path) -> None:
    """Join the human view of the model HUMAN with the machine view of the model MACHINE.

    Both are model files or bundled models, trained from one start with the encoder and the
    entropy model frozen: then one codes, and either decodes, what the other does.

    Example: ugicm-train join baseline.safetensors views.safetensors -o model.safetensors
    """
    data = join(read_model_file(human), read_model_file(machine))
    write_file(output, data)
    click.echo(f"{output}: {len(data)} bytes")
