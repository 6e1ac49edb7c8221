"""``ugicm demo``: the whole system on this machine."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working
from ugicm_client.outputs import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ugicm_client.demo.run import Result
    from ugicm_client.demo.system import Addresses
    from ugicm_servicekit.access import Access

__all__ = ["demo"]


@click.command(
    epilog="""\b
Examples:
  ugicm demo
  ugicm demo --photos ~/Pictures --out my-demo --quality 30
  ugicm demo --console                            and look at it in a browser
  ugicm demo --services 127.0.0.1:50051 127.0.0.1:50052 127.0.0.1:50053"""
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of pictures; otherwise photographs that come with installed packages.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-output",
    show_default=True,
    help="The folder for everything that comes out; an earlier demo's files are replaced.",
)
@click.option("-q", "--quality", type=click.IntRange(0, 100), default=50, show_default=True)
@click.option(
    "--services",
    nargs=3,
    callback=lambda ctx, param, given: given and options.check_addresses(ctx, param, given),
    metavar="ENCODER DECODER ANALYTICS",
    help="Services that run already, each HOST:PORT.",
)
@click.option(
    "--console",
    "with_console",
    is_flag=True,
    help="Then serve the operator's page over what was stored, until Ctrl-C.",
)
@options.access_options
@options.json_option
def demo(
    photos: Path | None,
    out: Path,
    quality: int,
    services: tuple[str, str, str] | None,
    with_console: bool,
    access: Access,
    as_json: bool,
) -> int:
    """Run the whole system on this machine, with real photographs.

    Starts encoder, decoder and analytics, streams the photos from a camera, asks for both views of
    every frame, and analyzes the machine view. Leaves the streams, the views and a contact sheet;
    stops the services again. With --services it goes through a system that runs already.
    Unreadable photos are reported and passed over. Needs no network.
    """
    import asyncio

    from ugicm_client.demo.photos import bundled_photos
    from ugicm_client.demo.system import Addresses
    from ugicm_client.pictures import SUFFIXES

    if services is not None and with_console:
        raise click.UsageError("--console is for the demo's own services: leave out --services")
    files = bundled_photos() if photos is None else expand([photos], SUFFIXES)
    addresses = None if services is None else Addresses(*services)
    if addresses is None:
        (out / "logs").mkdir(parents=True, exist_ok=True)

    def report(results: Sequence[Result]) -> None:
        if as_json:
            for result in results:
                print_record(asdict(result))
        else:
            _print_table(results)
            click.echo(f"everything is in {out}; begin with {out / 'contact-sheet.png'}")

    def show(address: str) -> None:
        click.echo(f"the console is at {address} until Ctrl-C", err=as_json)

    running = _run(files, out, quality, addresses, access, report, show if with_console else None)
    try:
        return asyncio.run(running)
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _run(
    files: Sequence[Path],
    out: Path,
    quality: int,
    addresses: Addresses | None,
    access: Access,
    report: Callable[[Sequence[Result]], None],
    show: Callable[[str], None] | None,
) -> int:
    """Run the demo on services at ``addresses``, or on its own, whose console ``show`` shows."""
    import asyncio
    from contextlib import AsyncExitStack

    from ugicm_client.demo.run import run_demo
    from ugicm_client.demo.system import connected, own_console, own_services
    from ugicm_servicekit.access import Access

    # SIGTERM ends as Ctrl-C does, by way of every cleanup.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    logs = out / "logs"
    async with AsyncExitStack() as ending:
        with working("running the demo", len(files) + 1) as work:
            own = None
            if addresses is None:
                own = await ending.enter_async_context(own_services(logs))
                addresses, access = own.addresses, Access()
            work.advance()
            async with connected(addresses, access) as clients:
                results = await run_demo(
                    files,
                    out,
                    clients,
                    quality=quality,
                    advance=work.advance,
                    on_bad_photo=work.fail,
                )
        report(results)
        if own is not None and show is not None:
            # From here on Ctrl-C is the ordinary end.
            ended = asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, ended.set)
            show(await ending.enter_async_context(own_console(own, logs)))
            await ended.wait()
    return work.exit_code


def _print_table(results: Sequence[Result]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption="bpp: bits per pixel; human, machine: PSNR of the views in dB; "
        "enc, dec (both views), analyze: ms",
    )
    table.add_column("photo")
    for heading in ("bytes", "bpp", "human", "machine", "enc", "dec", "analyze"):
        table.add_column(heading, justify="right")
    table.add_column("found")
    for result in results:
        seconds = (result.encode_seconds, result.decode_seconds, result.analyze_seconds)
        table.add_row(
            result.name,
            f"{result.num_bytes}",
            f"{result.bits_per_pixel:.3f}",
            f"{result.human_psnr:.2f}",
            f"{result.machine_psnr:.2f}",
            *(f"{1000 * each:.0f}" for each in seconds),
            ", ".join(f"{count} {label}" for label, count in result.found.items()),
        )
    console = Console()
    # A pipe has no width; rich would fold the table to 80 columns.
    (console if console.is_terminal else Console(width=120)).print(table)
