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
    from collections.abc import Sequence

    from ugicm_client.demo.run import Result

__all__ = ["demo"]


@click.command(
    epilog="""\b
Examples:
  ugicm demo
  ugicm demo --photos ~/Pictures --out my-demo --quality 30"""
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
@options.json_option
def demo(photos: Path | None, out: Path, quality: int, as_json: bool) -> int:
    """Run the whole system on this machine, with real photographs.

    Starts encoder, decoder and analytics, streams the photos from a camera, asks for both views of
    every frame, and analyzes the machine view. Leaves the streams, the views and a contact sheet;
    stops the services again. Unreadable photos are reported and passed over. Needs no network.
    """
    import asyncio

    from ugicm_client.demo.photos import bundled_photos
    from ugicm_client.pictures import SUFFIXES

    files = bundled_photos() if photos is None else expand([photos], SUFFIXES)
    try:
        results, exit_code = asyncio.run(_run(files, out, quality))
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None
    if as_json:
        for result in results:
            print_record(asdict(result))
    else:
        _print_table(results)
        click.echo(f"everything is in {out}; begin with {out / 'contact-sheet.png'}")
    return exit_code


async def _run(files: Sequence[Path], out: Path, quality: int) -> tuple[list[Result], int]:
    import asyncio

    from ugicm_client.demo.run import run_demo

    # SIGTERM ends as Ctrl-C does, by way of every cleanup.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with working("running the demo", len(files) + 1) as work:
        results = await run_demo(
            files, out, quality=quality, advance=work.advance, on_bad_photo=work.fail
        )
    return results, work.exit_code


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
