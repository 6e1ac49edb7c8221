"""``ugicm watch``: what analytics finds in the frames of cameras, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import say
from ugicm_client.errors import ServiceError

if TYPE_CHECKING:
    from ugicm.v1.analytics_pb2 import WatchResultsResponse
    from ugicm_client.cursor_file import CursorFile
    from ugicm_servicekit.access import Access

__all__ = ["watch"]


@click.command(
    epilog="""\b
Examples:
  ugicm watch                                     all cameras, until Ctrl-C
  ugicm watch door --analyzer people --mode newest
  ugicm watch door --state door.cursor --json     each frame, also after a break
  ugicm watch --start oldest --frames 100         of what is stored already"""
)
@click.argument("cameras", nargs=-1)
@options.analyzer_options
@options.machine_view_option
@click.option(
    "--mode",
    type=click.Choice(["every", "newest"]),
    default="every",
    show_default=True,
    help="Every frame however late, or only the newest of each camera.",
)
@click.option(
    "--start",
    type=click.Choice(["now", "oldest"]),
    default="now",
    show_default=True,
    help="Where to begin: now, or at the oldest stored frame.",
)
@click.option(
    "--state",
    "state_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Remembers how far the watch has come; the next run with it goes on there.",
)
@click.option("--frames", "most", type=click.IntRange(min=1), metavar="N", help="End after N.")
@options.server_options("analytics")
@options.json_option
def watch(
    cameras: tuple[str, ...],
    analyzers: tuple[str, ...],
    labels: tuple[str, ...],
    minimum_score: float | None,
    view: float,
    mode: str,
    start: str,
    state_path: Path | None,
    most: int | None,
    server: str,
    wait: float,
    access: Access,
    as_json: bool,
) -> int:
    """Show what is found in the frames of CAMERAS, or of all, as they are stored.

    A connection that is lost is made again, behind the last frame that was shown. What is shown
    is kept as well, where the service keeps results.
    """
    import asyncio

    from ugicm_client.cursor_file import CursorFile

    wanted = _Wanted(cameras, analyzers, labels, minimum_score, view, mode, start, most, as_json)
    with ExitStack() as opened:
        state = None
        if state_path is not None:
            state = opened.enter_context(CursorFile.open(state_path))
        asyncio.run(_watch(wanted, state, server, wait, access))
    return 0


@dataclass(frozen=True)
class _Wanted:
    """What is watched, and how it is shown."""

    cameras: tuple[str, ...]
    analyzers: tuple[str, ...]
    labels: tuple[str, ...]
    minimum_score: float | None
    view: float
    mode: str
    start: str
    most: int | None
    as_json: bool


async def _watch(
    wanted: _Wanted, state: CursorFile | None, server: str, wait: float, access: Access
) -> None:
    import asyncio
    from contextlib import aclosing

    from ugicm.v1.types_pb2 import WatchMode, WatchStart
    from ugicm_client.pipeline import Analyzers, PipelineClient
    from ugicm_client.retries import Retries

    remaining = wanted.most

    def link_changed(trouble: ServiceError | None) -> None:
        if trouble is None:
            say(f"the analytics at {server} answers again")
        # Who is not there at the start may be a wrong address. Whoever was waited for is there,
        # and what is behind it may still come.
        elif not (wait or retries.has_begun):
            raise trouble
        else:
            say(f"{trouble}; trying again")

    retries = Retries(changed=link_changed)
    async with PipelineClient(server, access=access) as client:
        await client.until_serving(wait)
        analyzers: Analyzers = wanted.analyzers
        if wanted.labels:
            analyzers = await client.labelled(wanted.analyzers, wanted.labels)
        responses = client.watch(
            state.cursor if state else None,
            start=WatchStart.Value(f"WATCH_START_{wanted.start.upper()}"),
            cameras=wanted.cameras,
            mode=WatchMode.Value(f"WATCH_MODE_{wanted.mode.upper()}"),
            view=wanted.view,
            analyzers=analyzers,
            minimum_score=wanted.minimum_score,
            retries=retries,
        )
        async with aclosing(responses):
            async for response in responses:
                _show(response, wanted.as_json)
                if state:
                    await asyncio.to_thread(state.write, response.cursor)
                if remaining is not None and response.WhichOneof("event") != "gap":
                    remaining -= 1
                    if not remaining:
                        return


def _show(response: WatchResultsResponse, as_json: bool) -> None:
    if as_json:
        print_record(_record(response))
        return
    for line in _lines(response):
        click.echo(line)


def _lines(response: WatchResultsResponse) -> Iterator[str]:
    from ugicm_client.findings import failed_line, frame_lines, gap_line

    event = response.WhichOneof("event")
    if event == "analysis":
        yield from frame_lines(response.analysis)
    elif event == "failed":
        yield failed_line(response.failed)
    elif event == "gap":
        yield gap_line(response.gap)


def _record(response: WatchResultsResponse) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    from ugicm_client.findings import frame_record
    from ugicm_servicekit.wire import key_from_wire

    event = response.WhichOneof("event")
    if event == "analysis":
        return frame_record(response.analysis)
    record: dict[str, Any] = MessageToDict(
        getattr(response, event or "gap"), preserving_proto_field_name=True
    )
    if event == "failed":
        return {**record, "key": str(key_from_wire(response.failed.key))}
    return {"gap": record}
