"""``ugicm analyze``: what analytics finds in pictures, streams and stored frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record, read_source
from ugicm_client.commands.work import working
from ugicm_client.errors import ClientError
from ugicm_client.outputs import expand
from ugicm_codec.bitstream import MAGIC

if TYPE_CHECKING:
    from ugicm.v1.analytics_pb2 import Analysis
    from ugicm_client.pictures import Pixels
    from ugicm_servicekit.access import Access
    from ugicm_servicekit.wire import FrameKey

__all__ = ["analyze"]


@click.command(
    epilog="""\b
Examples:
  ugicm analyze photo.jpg
  ugicm analyze photo.ugi --view human --minimum-score 0.8
  ugicm analyze door/1700000000000000/42 --json
  ugicm view door --json | jq -r .key | xargs ugicm analyze"""
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--analyzer", "analyzers", multiple=True, help="Only this one; may be repeated.")
@click.option("--minimum-score", type=click.FloatRange(0, 1), help="Leave out what scores less.")
@options.machine_view_option
@options.server_options("analytics")
@options.json_option
def analyze(
    inputs: tuple[Path, ...],
    analyzers: tuple[str, ...],
    minimum_score: float | None,
    view: float,
    server: str,
    wait: float,
    access: Access,
    as_json: bool,
) -> int:
    """Show what the analytics service finds.

    INPUTS are pictures, streams (.ugi), folders of either, - for a stream or picture on standard
    input, or frames that the decoder has stored, as CAMERA/EPOCH/SEQUENCE.
    """
    import asyncio

    return asyncio.run(
        _analyze(inputs, analyzers, minimum_score, view, server, wait, access, as_json)
    )


async def _analyze(
    inputs: tuple[Path, ...],
    analyzers: tuple[str, ...],
    minimum_score: float | None,
    view: float,
    server: str,
    wait: float,
    access: Access,
    as_json: bool,
) -> int:
    from ugicm_client.pictures import SUFFIXES
    from ugicm_client.pipeline import PipelineClient

    paths = expand(inputs, SUFFIXES | {".ugi"})
    async with PipelineClient(server, access=access) as client:
        await client.until_serving(wait)
        with working("analyzing", len(paths)) as work:
            for path in paths:
                with work.item(str(path)):
                    analysis = await client.analyze(
                        _source(path), view=view, analyzers=analyzers, minimum_score=minimum_score
                    )
                    _print_analysis(path, analysis, as_json)
                    _raise_failures(analysis)
    return work.exit_code


def _raise_failures(analysis: Analysis) -> None:
    failures = [
        f"{result.analyzer}: {result.failure.message}"
        for result in analysis.results
        if result.HasField("failure")
    ]
    if failures:
        raise ClientError("; ".join(failures))


def _source(path: Path) -> FrameKey | bytes | Pixels:
    from ugicm_client.pictures import picture_from_bytes
    from ugicm_client.wire import parse_key

    if str(path).count("/") == 2 and not path.exists():
        try:
            return parse_key(str(path))
        except ValueError:
            pass  # neither a frame nor a file: reading the file says so
    data = read_source(path)
    return data if data.startswith(MAGIC) else picture_from_bytes(data)


def _print_analysis(path: Path, analysis: Analysis, as_json: bool) -> None:
    if as_json:
        from google.protobuf.json_format import MessageToDict

        message = MessageToDict(
            analysis,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        print_record({"input": str(path), **message})
        return
    for result in analysis.results:
        for found in result.detections:
            box = found.box
            click.echo(
                f"{path}: {found.label} {found.score:.2f} at ({box.left:.0f}, {box.top:.0f}) to "
                f"({box.right:.0f}, {box.bottom:.0f}), {result.analyzer}"
            )
        for kind in result.classifications:
            click.echo(f"{path}: {kind.label} {kind.score:.2f}, {result.analyzer}")
        for segment in result.segments:
            click.echo(f"{path}: {segment.label} segmented, {result.analyzer}")
