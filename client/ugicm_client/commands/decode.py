"""``ugicm decode``: streams to pictures, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

import ugicm_codec
from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import read_source
from ugicm_client.commands.view_files import ViewFiles, view_file_options
from ugicm_client.commands.work import working
from ugicm_client.outputs import expand

__all__ = ["decode"]


@click.command(
    epilog="""\b
Examples:
  ugicm decode photo.ugi                               writes photo.human.png beside it
  ugicm decode photo.ugi --view human --view machine   photo.human.png, photo.machine.png
  ugicm decode photo.ugi --view 0.3 -o between.jpg
  ugicm decode streams/ -o pictures/ --view machine
  cat photo.ugi | ugicm decode - > photo.png"""
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", help="A file, a folder (made if needed), or - for standard output.")
@options.model_options
@view_file_options
def decode(
    inputs: tuple[Path, ...],
    output: str | None,
    model: str,
    device: str,
    views: tuple[options.NamedView, ...],
    file_format: str,
    force: bool,
    as_json: bool,
) -> int:
    """Decode streams into pictures, for one or several views.

    INPUTS are streams (.ugi), folders of them, or - for standard input. No server is needed.
    """
    files = ViewFiles(output, views, file_format, force, as_json)
    jobs = files.plan(expand(inputs, {".ugi"}))

    codec = ugicm_codec.Codec.load(model, device)

    with working("decoding", len(jobs)) as work:
        for job in jobs:
            with work.item(str(job.source)):
                images = codec.decode_views(read_source(job.source), files.numbers)
                record = {"input": str(job.source), "model_sha256": codec.model.sha256}
                files.write(job, images, record)
    return work.exit_code
