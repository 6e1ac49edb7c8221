"""``ugicm analyze``: what analytics finds in pictures, streams and stored frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import existing_of, print_record, read_source
from ugicm_client.commands.work import working
from ugicm_client.errors import ClientError
from ugicm_client.outputs import expand
from ugicm_codec.bitstream import MAGIC

if TYPE_CHECKING:
    from ugicm.v1.analytics_pb2 import Analysis
    from ugicm_client.annotated_files import AnnotatedFiles
    from ugicm_client.operator import OperatorClient
    from ugicm_client.pictures import Pixels
    from ugicm_client.pipeline import Analyzers
    from ugicm_servicekit.access import Access
    from ugicm_servicekit.wire import FrameKey

__all__ = ["analyze"]


@click.command(
    epilog="""\b
Examples:
  ugicm analyze photo.jpg
  ugicm analyze photo.ugi --view human --minimum-score 0.8
  ugicm analyze photo.jpg --analyzer clip --label "a dog" --label "a cat"
  ugicm analyze door/1700000000000000/42 --json
  ugicm view door --json | jq -r .key | xargs ugicm analyze
  ugicm analyze photos/ --annotate found/          a picture for each, with what was found
  ugicm analyze photos/ --annotate sheet.png       all of them on a contact sheet
  ugicm analyze frames/ --annotate street.mp4 --annotate-fps 10"""
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.analyzer_options
@options.machine_view_option
@click.option(
    "--annotate",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Draw what was found: into a folder, a contact sheet (.png, .jpg, .webp) or a video "
    "(.mp4, .mkv). Streams and frames are drawn in the human view.",
)
@click.option(
    "--annotate-fps",
    type=click.FloatRange(min=0.001, max=1000),
    default=5,
    show_default=True,
    help="Pictures a second of an annotated video.",
)
@click.option(
    "--decoder",
    default="127.0.0.1:50052",
    show_default=True,
    metavar="HOST:PORT",
    help="Decodes streams and frames for --annotate.",
)
@options.force_option
@options.server_options("analytics")
@options.json_option
def analyze(
    inputs: tuple[Path, ...],
    analyzers: tuple[str, ...],
    labels: tuple[str, ...],
    minimum_score: float | None,
    view: float,
    out: Path | None,
    annotate_fps: float,
    decoder: str,
    force: bool,
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

    from ugicm_client.pictures import SUFFIXES

    paths = expand(inputs, SUFFIXES | {".ugi"})
    asking = Asking(view, analyzers, labels, minimum_score, as_json)
    with ExitStack() as opened:
        files = None
        if out is not None:
            from ugicm_client.annotated_files import opened_annotated_files

            existing = existing_of(force)
            try:
                files = opened.enter_context(
                    opened_annotated_files(out, paths, existing=existing, fps=annotate_fps)
                )
            except ValueError as error:
                raise click.UsageError(str(error)) from error
        return asyncio.run(_analyze(paths, asking, files, decoder, server, wait, access))


@dataclass(frozen=True)
class Asking:
    """What is asked of each input, and how the answer is printed."""

    view: float
    analyzers: tuple[str, ...]
    labels: tuple[str, ...]
    minimum_score: float | None
    as_json: bool


async def _analyze(
    paths: Sequence[Path],
    asking: Asking,
    files: AnnotatedFiles | None,
    decoder: str,
    server: str,
    wait: float,
    access: Access,
) -> int:
    import asyncio

    from ugicm_client.annotation import findings_of
    from ugicm_client.operator import OperatorClient
    from ugicm_client.pipeline import PipelineClient

    async with (
        PipelineClient(server, access=access) as client,
        OperatorClient(decoder, access=access) as operator,
    ):
        await client.until_serving(wait)
        analyzers: Analyzers = asking.analyzers
        if asking.labels:
            analyzers = await client.labelled(asking.analyzers, asking.labels)
        with working("analyzing", len(paths)) as work:
            for path in paths:
                with work.item(str(path)):
                    source = _source(path)
                    analysis = await client.analyze(
                        source,
                        view=asking.view,
                        analyzers=analyzers,
                        minimum_score=asking.minimum_score,
                    )
                    _print_analysis(path, analysis, asking.as_json)
                    if files is not None:
                        image = await _pixels(source, operator)
                        await asyncio.to_thread(files.add, path, image, findings_of(analysis))
                    _raise_failures(analysis)
    return work.exit_code


async def _pixels(source: FrameKey | bytes | Pixels, operator: OperatorClient) -> Pixels:
    from ugicm_codec.views import HUMAN
    from ugicm_servicekit.wire import FrameKey

    if isinstance(source, FrameKey | bytes):
        return (await operator.decode(source, [HUMAN])).images[0]
    return source


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
    from ugicm_client.findings import analysis_record, result_lines

    if as_json:
        print_record({"input": str(path), **analysis_record(analysis)})
        return
    for result in analysis.results:
        for line in result_lines(result):
            click.echo(f"{path}: {line}")
