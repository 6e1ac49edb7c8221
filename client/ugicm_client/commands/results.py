"""``ugicm results``: what analytics has kept, as lists and as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import existing_of
from ugicm_client.files import Existing, refuse_existing, write_atomically, written_atomically
from ugicm_client.outputs import STANDARD_STREAM
from ugicm_codec.errors import BadView
from ugicm_codec.views import parse_view

if TYPE_CHECKING:
    from ugicm.v1.analytics_pb2 import MissedFrames
    from ugicm_client.pipeline import PipelineClient, ResultFilter
    from ugicm_servicekit.access import Access

__all__ = ["results"]


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A time without its zone is this machine's.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"a time is written as 2026-01-31T17:30 or 2026-01-31T17:30:00Z, got {text!r:.80}"
        ) from error


def _view(ctx: click.Context, param: click.Parameter, word: str) -> float | None:
    if word == "any":
        return None
    try:
        return parse_view(word)
    except BadView as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    epilog="""\b
Examples:
  ugicm results door --newest 10
  ugicm results --label person --minimum-score 0.8 --since 2026-01-31T17:30
  ugicm results --format jsonl | jq -r .key
  ugicm results door --format coco -o door.json --index door.images.json
  ugicm results --missed"""
)
@click.argument("cameras", nargs=-1)
@click.option("--since", callback=_moment, metavar="TIME", help="Only pictures taken since.")
@click.option("--until", callback=_moment, metavar="TIME", help="Only pictures taken before.")
@click.option("--analyzer", "analyzers", multiple=True, help="Only this one; may be repeated.")
@click.option("--label", "labels", multiple=True, help="Only this one; may be repeated.")
@click.option("--minimum-score", type=click.FloatRange(0, 1), help="Leave out what scores less.")
@click.option(
    "--view",
    default="machine",
    show_default=True,
    metavar="human|machine|0..1|any",
    callback=_view,
    help="Only what was found in this view.",
)
@click.option("--newest", type=click.IntRange(min=1), metavar="N", help="Only the last N pictures.")
@click.option("--missed", is_flag=True, help="List frames that have no results, and why.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["text", "jsonl", "coco"]),
    default="text",
    show_default=True,
    help="For people; one JSON object a picture; or COCO's results.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="-",
    show_default=True,
    metavar="FILE",
    help="Where to write; - is standard output.",
)
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With coco: a data set file that says which picture and label has which number.",
)
@options.force_option
@options.server_options("analytics")
def results(
    cameras: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    analyzers: tuple[str, ...],
    labels: tuple[str, ...],
    minimum_score: float | None,
    view: float | None,
    newest: int | None,
    missed: bool,
    file_format: str,
    output: Path,
    index: Path | None,
    force: bool,
    server: str,
    wait: float,
    access: Access,
) -> int:
    """List or export what analytics has kept of CAMERAS, or of all.

    Files are written whole or not at all.
    """
    if index is not None and file_format != "coco":
        raise click.UsageError("--index goes with --format coco")
    if index is None and file_format == "coco" and output != STANDARD_STREAM:
        raise click.UsageError("a COCO file needs --index, which says what its numbers mean")
    if missed and (file_format != "text" or output != STANDARD_STREAM):
        raise click.UsageError("--missed is listed as text on standard output")
    import asyncio

    from ugicm_client.findings import frame_lines
    from ugicm_client.pipeline import PipelineClient, ResultFilter

    wanted = ResultFilter(
        cameras=cameras,
        captured_from=since,
        captured_before=until,
        analyzers=analyzers,
        labels=labels,
        minimum_score=minimum_score,
        view=view,
    )

    async def run() -> None:
        async with PipelineClient(server, access=access) as client:
            await client.until_serving(wait)
            if missed:
                async for one in client.missed(cameras):
                    _print_missed(one)
            elif file_format == "text":
                with _opened(output, existing_of(force)) as file:
                    async for analysis in client.results(wanted, newest=newest):
                        file.writelines(f"{line}\n".encode() for line in frame_lines(analysis))
            elif file_format == "jsonl":
                await _export_lines(client, wanted, newest, output, existing_of(force))
            else:
                await _export_coco(client, wanted, newest, output, index, existing_of(force))

    asyncio.run(run())
    return 0


@contextmanager
def _opened(path: Path, existing: Existing) -> Iterator[BinaryIO]:
    if path != STANDARD_STREAM:
        with written_atomically(path, existing=existing) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


async def _export_lines(
    client: PipelineClient,
    wanted: ResultFilter,
    newest: int | None,
    output: Path,
    existing: Existing,
) -> None:
    from ugicm_client.exports import JsonLinesExport

    with _opened(output, existing) as file:
        export = JsonLinesExport(file)
        async for analysis in client.results(wanted, newest=newest):
            export.add(analysis)


async def _export_coco(
    client: PipelineClient,
    wanted: ResultFilter,
    newest: int | None,
    output: Path,
    index: Path | None,
    existing: Existing,
) -> None:
    from ugicm_client.exports import CocoExport

    if index is not None and existing is Existing.REFUSE:
        refuse_existing(index)  # before anything is written
    with _opened(output, existing) as file:
        export = CocoExport(file)
        async for analysis in client.results(wanted, newest=newest):
            export.add(analysis)
        export.finish()
        if index is not None:
            write_atomically(index, json.dumps(export.index()).encode(), existing=existing)
    if export.num_left_out:
        click.echo(
            f"ugicm: left out {export.num_left_out} classifications, which COCO has no place for",
            err=True,
        )


def _print_missed(missed: MissedFrames) -> None:
    from ugicm_client.findings import failed_line, gap_line

    is_failed = missed.WhichOneof("why") == "failed"
    line = failed_line(missed.failed) if is_failed else gap_line(missed.gap)
    click.echo(f"{line}, {missed.analyzer}")
