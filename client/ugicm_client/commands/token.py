"""``ugicm token``: make the tokens by which services know who calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record

__all__ = ["token"]

# As ugicm_servicekit.roles has them; named here so that --help needs no gRPC.
_ROLES = ("camera", "encoder", "operator", "pipeline", "admin")


@click.group()
def token() -> None:
    """Make tokens for the services."""


@token.command(
    epilog="""\b
Examples:
  ugicm token new --role camera --camera gate
  ugicm token new --role encoder --name north --camera gate --camera yard
  ugicm token new --role operator --name night-shift --days 90 --json"""
)
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What the token is for.")
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    metavar="ID",
    help="The camera's own id, or each camera that an encoder forwards.",
)
@click.option("--name", metavar="NAME", help="Who has it, for logs; a camera's is its id.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="How long it is valid.")
@options.json_option
def new(
    role: str, cameras: tuple[str, ...], name: str | None, days: float | None, as_json: bool
) -> int:
    """Print a new token, and the entry by which servers know it.

    The token is shown this once: a server's file of tokens (--tokens) holds its hash only.
    """
    from ugicm_servicekit.errors import BadRequest
    from ugicm_servicekit.roles import Caller, Role
    from ugicm_servicekit.tokens import Token, check_caller, entry_of, hash_token, new_token

    if name is None:
        if len(cameras) != 1 or role != "camera":
            raise click.UsageError(f"a token of role {role} needs a --name")
        (name,) = cameras
    caller = Caller(name, Role(role), frozenset(cameras))
    try:
        check_caller(caller)
    except (ValueError, BadRequest) as error:
        raise click.UsageError(str(error)) from error
    secret = new_token()
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    entry = entry_of(Token(caller, hash_token(secret), expires))
    if as_json:
        print_record({"token": secret, "entry": entry})
    else:
        click.echo(f"The token, shown this once; keep it in a file that only {name} reads:\n")
        click.echo(f"{secret}\n")
        click.echo("What to add to the file that servers read by --tokens:\n")
        click.echo(entry, nl=False)
    return 0
