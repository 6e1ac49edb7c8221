"""``ugicm models``: which models are bundled, or what a model file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working

if TYPE_CHECKING:
    from ugicm_codec import ModelInfo

__all__ = ["models"]


@click.command(
    epilog="""\b
Examples:
  ugicm models
  ugicm models my.safetensors --json | jq .training"""
)
@click.argument("names", nargs=-1, metavar="[NAME|FILE]...")
@options.json_option
def models(names: tuple[str, ...], as_json: bool) -> int:
    """List the bundled models, or the models named: what each is, and how it was trained.

    Streams carry a latents id; any model with the same one decodes them.
    """
    from ugicm_codec.models.modelfile import bundled_models, read_model_file

    wanted = names or bundled_models()
    with working("reading", len(wanted)) as work:
        for name in wanted:
            with work.item(name):
                model = read_model_file(name)
                num_bytes = sum(tensor.nbytes for tensor in model.tensors.values())
                _print_model(model.info, num_bytes, as_json)
    return work.exit_code


def _print_model(info: ModelInfo, num_bytes: int, as_json: bool) -> None:
    if as_json:
        print_record(
            {
                "name": info.name,
                "backbone": info.backbone,
                "latents_id": info.latents_id.hex(),
                "sha256": info.sha256,
                "quality_steps": info.quality_steps,
                "channels": info.channels,
                "latent_channels": info.latent_channels,
                "num_bytes": num_bytes,
                "training": dict(info.training),
            }
        )
        return
    click.echo(
        f"{info.name}: {info.backbone} (N={info.channels}, M={info.latent_channels}), "
        f"{info.quality_steps} quality steps, {num_bytes / 1e6:.1f} MB\n"
        f"  latents id  {info.latents_id.hex()}\n"
        f"  sha256      {info.sha256}"
    )
    for name, value in info.training.items():
        if isinstance(value, str | int | float):
            click.echo(f"  {name:<11} {value}")
