"""``ugicm serve``: one of the services, in this process."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from ugicm_client.errors import MissingPackage

__all__ = ["serve"]


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  ugicm serve decoder
  ugicm serve console               the operator's page
  ugicm serve encoder --help        the encoder's own options""",
)
@click.argument("service", type=click.Choice(["encoder", "decoder", "analytics", "console"]))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(service: str, arguments: tuple[str, ...]) -> int:
    """Run a service until it is interrupted.

    ARGUMENTS go to the service, which explains them with --help.
    """
    package = f"ugicm_{service}"
    if find_spec(package) is None:
        raise MissingPackage(f"the {service} is not installed: pip install ugicm-{service}")
    main = import_module(f"{package}.main").main
    return int(main(list(arguments)) or 0)
