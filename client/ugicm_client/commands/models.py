"""``ugicm models``: which models are bundled, what a file holds; published ones, imported."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import complain, working
from ugicm_client.errors import MissingPackage

if TYPE_CHECKING:
    from ugicm_codec import ModelInfo

__all__ = ["models"]


class _ListsByDefault(click.Group):
    """Takes what is no command for names of models: ``ugicm models my.safetensors`` lists it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_ListsByDefault,
    epilog="""\b
Examples:
  ugicm models
  ugicm models my.safetensors --json | jq .training
  ugicm models import checkpoint_best_loss.pth.tar -o my.safetensors
  ugicm models check my.safetensors photos/""",
)
def models() -> None:
    """List models, import published ones, or check a model file."""


@models.command("list")
@click.argument("names", nargs=-1, metavar="[NAME|FILE]...")
@options.json_option
def list_(names: tuple[str, ...], as_json: bool) -> int:
    """List the bundled models, or the models named: what each is, and how it was trained.

    The command where none is given. Streams carry a latents id; any model with the same one decodes
    them.
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


_FORWARDED = {"ignore_unknown_options": True, "help_option_names": []}


@models.command("import", context_settings=_FORWARDED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def import_(arguments: tuple[str, ...]) -> int:
    """Turn a checkpoint of published code into a model file; --help tells which."""
    return _by_training("import", arguments)


@models.command("check", context_settings=_FORWARDED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def check(arguments: tuple[str, ...]) -> int:
    """Hold a model file against its float model on photos: bytes, pixels, exactness."""
    return _by_training("check", arguments)


def _by_training(command: str, arguments: tuple[str, ...]) -> int:
    """Run a command of ``ugicm-train``: float models are known there alone."""
    if find_spec("ugicm_training") is None:
        raise MissingPackage(
            f"models {command} takes the training package: pip install ugicm-training"
        )
    training = import_module("ugicm_training.cli").cli.commands[command]
    refused = import_module("ugicm_training.errors").TrainingError
    try:
        training.main(list(arguments), prog_name=f"ugicm models {command}", standalone_mode=False)
    except refused as error:
        complain(error)
        return 1
    return 0


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
