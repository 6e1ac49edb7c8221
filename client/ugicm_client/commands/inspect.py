"""``ugicm inspect``: what a stream's header says, checked, without PyTorch."""

from __future__ import annotations

from pathlib import Path

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record, read_source
from ugicm_client.commands.work import working
from ugicm_client.outputs import expand
from ugicm_codec import StreamInfo
from ugicm_codec import inspect as inspect_stream

__all__ = ["inspect"]


@click.command(
    epilog="""\b
Examples:
  ugicm inspect photo.ugi
  ugicm inspect streams/ --json | jq .bits_per_pixel"""
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.json_option
def inspect(inputs: tuple[Path, ...], as_json: bool) -> int:
    """Show what streams say about themselves, and check that they are whole.

    INPUTS are streams (.ugi), folders of them, or - for standard input.
    """
    paths = expand(inputs, {".ugi"})
    with working("inspecting", len(paths)) as work:
        for path in paths:
            with work.item(str(path)):
                _print_info(path, inspect_stream(read_source(path)), as_json)
    return work.exit_code


def _print_info(path: Path, info: StreamInfo, as_json: bool) -> None:
    if as_json:
        print_record(
            {
                "input": str(path),
                "version": info.version,
                "latents_id": info.latents_id.hex(),
                "height": info.height,
                "width": info.width,
                "quality_step": info.quality_step,
                "num_bytes": info.num_bytes,
                "bits_per_pixel": info.bits_per_pixel,
            }
        )
    else:
        click.echo(
            f"{path}: {info.width}x{info.height}, {info.num_bytes} bytes, "
            f"{info.bits_per_pixel:.3f} bits per pixel, quality step {info.quality_step}, "
            f"latents {info.latents_id.hex()}, version {info.version}"
        )
