"""Options that several subcommands share, so that each means the same everywhere."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ugicm_codec.errors import BadView
from ugicm_codec.views import PRESETS, parse_view

if TYPE_CHECKING:
    from ugicm_servicekit.access import Access

__all__ = [
    "NamedView",
    "Rate",
    "access_options",
    "analyzer_options",
    "check_addresses",
    "force_option",
    "json_option",
    "machine_view_option",
    "model_options",
    "rate_of",
    "rate_options",
    "server_options",
    "system_options",
    "views_option",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class NamedView:
    """A view with the word that file names use for it."""

    name: str
    number: float


@dataclass(frozen=True)
class Rate:
    """How many bytes to spend: a quality, a budget, or neither (the default quality)."""

    quality: int | None
    max_bytes: int | None


def _parse_view(word: str) -> NamedView:
    try:
        number = parse_view(word)
    except BadView as error:
        raise click.BadParameter(str(error)) from error
    return NamedView(word if word in PRESETS else f"view-{number:g}", number)


def _parse_views(
    ctx: click.Context, param: click.Parameter, words: tuple[str, ...]
) -> tuple[NamedView, ...]:
    return tuple(dict.fromkeys(_parse_view(word) for word in words))


views_option = click.option(
    "--view",
    "views",
    multiple=True,
    default=("human",),
    show_default=True,
    metavar="human|machine|0..1",
    callback=_parse_views,
    help="For whom to decode; several times for several pictures.",
)

machine_view_option = click.option(
    "--view",
    default="machine",
    show_default=True,
    metavar="human|machine|0..1",
    callback=lambda ctx, param, word: _parse_view(word).number,
    help="For whom streams and frames are decoded.",
)


def analyzer_options(command: F) -> F:
    """Add ``--analyzer``, ``--label`` and ``--minimum-score``, of what is analyzed now."""
    command = click.option(
        "--minimum-score", type=click.FloatRange(0, 1), help="Leave out what scores less."
    )(command)
    command = click.option(
        "--label",
        "labels",
        multiple=True,
        help="What to tell apart, for analyzers that need labels; may be repeated.",
    )(command)
    return click.option(
        "--analyzer", "analyzers", multiple=True, help="Only this one; may be repeated."
    )(command)


def rate_options(command: F) -> F:
    """Add ``--quality`` and ``--max-bytes``; ``rate_of`` reads them."""
    command = click.option(
        "--max-bytes",
        type=click.IntRange(min=1),
        metavar="N",
        help="Instead of a quality: the best one whose stream has at most N bytes.",
    )(command)
    return click.option(
        "-q",
        "--quality",
        type=click.IntRange(0, 100),
        metavar="0..100",
        help="0 is smallest, 100 is best; 50, or the server's own, if nothing is said.",
    )(command)


def rate_of(quality: int | None, max_bytes: int | None) -> Rate:
    """Return what the two options ask for.

    Raises:
        click.UsageError: both were given.
    """
    if quality is not None and max_bytes is not None:
        raise click.UsageError("--quality and --max-bytes exclude each other")
    return Rate(quality, max_bytes)


def _check_device(ctx: click.Context, param: click.Parameter, device: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise click.BadParameter(f"a device is cpu, cuda or cuda:NUMBER, got {device!r}")
    return device


def model_options(command: F) -> F:
    """Add ``--model`` and ``--device``."""
    command = click.option(
        "--device",
        default="cpu",
        show_default=True,
        callback=_check_device,
        help="Where to compute: cpu, cuda, or one of several as cuda:1.",
    )(command)
    return click.option(
        "--model",
        default="default",
        show_default=True,
        metavar="NAME|FILE",
        help="A bundled model (see ugicm models) or a model file.",
    )(command)


force_option = click.option(
    "-f", "--force", is_flag=True, help="Replace output files that exist; otherwise they are kept."
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs."
)

_ADDRESS_OF = {
    "encoder": "127.0.0.1:50051",
    "decoder": "127.0.0.1:50052",
    "analytics": "127.0.0.1:50053",
}


def server_options(service: str) -> Callable[[F], F]:
    """Add ``--server``, the address of one of the three services, ``--wait``, and ``access``."""

    def add(command: F) -> F:
        command = access_options(command)
        command = click.option(
            "--wait",
            type=click.FloatRange(min=0),
            default=0,
            show_default=True,
            metavar="SECONDS",
            help=f"How long to wait for the {service} if it is still starting.",
        )(command)
        return click.option(
            "--server",
            default=_ADDRESS_OF[service],
            show_default=True,
            metavar="HOST:PORT",
            help=f"Where the {service} answers.",
        )(command)

    return add


def system_options(command: F) -> F:
    """Add where the three services are, as ``addresses`` and ``metrics`` by name; and access."""

    @functools.wraps(command)
    def with_addresses(*arguments: Any, **given: Any) -> Any:
        addresses = {name: given.pop(name) for name in _ADDRESS_OF}
        metrics = {name: given.pop(f"{name}_metrics") for name in _ADDRESS_OF}
        return command(*arguments, addresses=addresses, metrics=metrics, **given)

    decorated: Any = with_addresses
    for name, address in reversed(_ADDRESS_OF.items()):
        decorated = click.option(
            f"--{name}-metrics",
            callback=_check_address,
            metavar="HOST:PORT",
            help=f"Where the {name}'s metrics are.",
        )(decorated)
        decorated = click.option(
            f"--{name}",
            default=address,
            show_default=True,
            callback=_check_address,
            metavar="HOST:PORT",
            help=f"Where the {name} answers.",
        )(decorated)
    return cast("F", access_options(decorated))


def check_addresses(
    ctx: click.Context, param: click.Parameter, addresses: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse what is no address, as a parameter's callback."""
    for address in addresses:
        _check_address(ctx, param, address)
    return addresses


def _check_address(ctx: click.Context, param: click.Parameter, address: str | None) -> str | None:
    if address is not None and not re.fullmatch(r".+:\d{1,5}", address):
        raise click.BadParameter(f"an address is HOST:PORT, got {address!r}")
    return address


def access_options(command: F) -> F:
    """Add what a service may want to see; the command gets it as ``access``."""

    @functools.wraps(command)
    def with_access(
        *arguments: Any,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        token_file: Path | None,
        **options: Any,
    ) -> Any:
        access = _access(tls, tls_ca, tls_cert, tls_key, token_file)
        return command(*arguments, access=access, **options)

    decorated: Any = with_access
    for flag, meaning in reversed(
        (
            (
                "--tls-ca",
                "Authorities of the server's certificate; the system's if not given.",
            ),
            ("--tls-cert", "Certificate chain to show to the server, PEM."),
            ("--tls-key", "Its private key, PEM."),
            ("--token-file", "File that holds a token; or the variable UGICM_TOKEN holds it."),
        )
    ):
        decorated = click.option(
            flag,
            type=click.Path(path_type=Path),
            metavar="FILE",
            envvar="UGICM_" + flag.removeprefix("--").replace("-", "_").upper(),
            show_envvar=True,
            help=meaning,
        )(decorated)
    tls_option = click.option(
        "--tls",
        is_flag=True,
        envvar="UGICM_TLS",
        show_envvar=True,
        help="Connect by TLS; implied by the files below.",
    )
    return cast("F", tls_option(decorated))


def _access(
    tls: bool,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
) -> Access:
    from ugicm_servicekit.access import Access
    from ugicm_servicekit.settings import Transport

    return Access(
        transport=Transport.TLS if tls else Transport.PLAINTEXT,
        ca=tls_ca,
        cert=tls_cert,
        key=tls_key,
        token_file=token_file,
        # Never an option: arguments are seen by everybody on the machine.
        token=os.environ.get("UGICM_TOKEN") or None,
    )
