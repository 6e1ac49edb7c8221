"""``ugicm reload``: let services read their models, tokens and certificates anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working

if TYPE_CHECKING:
    from ugicm_servicekit.access import Access

__all__ = ["reload"]


def _check_servers(
    ctx: click.Context, param: click.Parameter, addresses: tuple[str, ...]
) -> tuple[str, ...]:
    for address in options.check_addresses(ctx, param, addresses):
        if "//" in address:  # dns:///NAME:PORT: the call would reach any one of them
            raise click.BadParameter(f"each server is named by itself, HOST:PORT, got {address!r}")
    return addresses


@click.command(
    epilog="""\b
Examples:
  ugicm reload 127.0.0.1:50052
  ugicm reload edge-7:50051 edge-8:50051 --token-file admin.token --json"""
)
@click.argument(
    "addresses", nargs=-1, required=True, metavar="HOST:PORT...", callback=_check_servers
)
@options.access_options
@options.json_option
def reload(addresses: tuple[str, ...], access: Access, as_json: bool) -> int:
    """Let services read models, tokens and certificates anew, and print what changed.

    Calls under way end with what they began with. Where something cannot be used, that service
    goes on with all that it had, and the exit code is 1. Services that know tokens want an admin's.
    """
    import asyncio

    return asyncio.run(_reload(addresses, access, as_json))


async def _reload(addresses: tuple[str, ...], access: Access, as_json: bool) -> int:
    from ugicm_client.admin import AdminClient

    with working("reloading", len(addresses)) as work:
        for address in addresses:
            with work.item(address):
                async with AdminClient(address, access=access) as client:
                    changes = await client.reload()
                if as_json:
                    print_record({"address": address, "changes": changes})
                    continue
                lines = [
                    f"{one['kind']} {one['name']}: {one['before'] or 'none'} -> "
                    f"{one['after'] or 'none'}"
                    for one in changes
                ]
                for line in lines or ["nothing changed"]:
                    click.echo(f"{address}: {line}")
    return work.exit_code
