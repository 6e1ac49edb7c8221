"""``ugicm encode``: pictures to streams, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ugicm_codec
from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import (
    check_standard_output,
    deliver,
    existing_of,
    print_record,
    read_source,
)
from ugicm_client.commands.work import working
from ugicm_client.outputs import Job, expand, plan, refuse_existing_outputs
from ugicm_codec import inspect

if TYPE_CHECKING:
    from ugicm_codec import StreamInfo

__all__ = ["encode"]


@click.command(
    epilog="""\b
Examples:
  ugicm encode photo.jpg                             writes photo.ugi beside it
  ugicm encode photo.jpg -q 80 -o small.ugi
  ugicm encode photos/ -o streams/ --max-bytes 20000
  cat photo.png | ugicm encode - > photo.ugi"""
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="A file, a folder (made if needed), or - for standard output.")
@options.rate_options
@options.model_options
@click.option(
    "--background",
    default="#ffffff",
    show_default=True,
    metavar="COLOUR",
    help="Behind transparent pixels: #rrggbb or a name.",
)
@options.force_option
@options.json_option
def encode(
    inputs: tuple[Path, ...],
    output: str | None,
    quality: int | None,
    max_bytes: int | None,
    model: str,
    device: str,
    background: str,
    force: bool,
    as_json: bool,
) -> int:
    """Encode pictures into streams.

    INPUTS are picture files, folders of them, or - for standard input. Orientation tags and colour
    profiles are applied. No server is needed.
    """
    rate = options.rate_of(quality, max_bytes)

    from PIL import ImageColor

    from ugicm_client.pictures import SUFFIXES, picture_from_bytes

    try:
        red, green, blue = ImageColor.getrgb(background)[:3]
        jobs = plan(expand(inputs, SUFFIXES), output, [".ugi"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_standard_output(jobs, as_json=as_json)
    if not force:
        refuse_existing_outputs(jobs)

    codec = ugicm_codec.Codec.load(model, device)

    with working("encoding", len(jobs)) as work:
        for job in jobs:
            with work.item(str(job.source)):
                image = picture_from_bytes(read_source(job.source), background=(red, green, blue))
                stream = codec.encode(image, rate.quality, max_bytes=rate.max_bytes)
                deliver(job.targets[0], stream, existing_of(force))
                if as_json:
                    print_record(_record(job, inspect(stream), codec.model.sha256))
    return work.exit_code


def _record(job: Job, info: StreamInfo, model_sha256: str) -> dict[str, Any]:
    return {
        "input": str(job.source),
        "output": str(job.targets[0]),
        "height": info.height,
        "width": info.width,
        "num_bytes": info.num_bytes,
        "bits_per_pixel": info.bits_per_pixel,
        "quality_step": info.quality_step,
        "latents_id": info.latents_id.hex(),
        "model_sha256": model_sha256,
    }
