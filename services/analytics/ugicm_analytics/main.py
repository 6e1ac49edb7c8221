"""Run analytics as a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from shutil import disk_usage
from typing import Any

import grpc

from ugicm.v1 import analytics_pb2, analytics_pb2_grpc
from ugicm_analytics import metrics
from ugicm_analytics.decoder import Decoder
from ugicm_analytics.errors import ResultsFull
from ugicm_analytics.group import Group, GroupWatch, joined
from ugicm_analytics.lanes import Lane
from ugicm_analytics.pictures import Pictures
from ugicm_analytics.results import ResultStore, SqliteResultStore
from ugicm_analytics.servicer import AnalyticsServicer
from ugicm_analytics.settings import AnalyticsSettings
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analytics.subscription import Subscription, wanted_from_settings
from ugicm_analyzers.errors import AnalyzerError, BadSpecification, UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer
from ugicm_analyzers.registry import load_analyzers
from ugicm_analyzers.threads import limit_threads
from ugicm_servicekit.access import access_of
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.checks import checked, reached
from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.jetstream import locked_out
from ugicm_servicekit.process import run_service
from ugicm_servicekit.readiness import Problem, Severity
from ugicm_servicekit.server import Server
from ugicm_servicekit.sqlite import database_bytes
from ugicm_servicekit.work import Workers

__all__ = ["SERVICE", "main", "serve"]

SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"].full_name

# How long what a watch has under way may take to be stored when the service stops.
_LAST_RESULTS_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run analytics until SIGTERM or SIGINT, and return the process's exit status."""
    return run_service(
        "analytics",
        AnalyticsSettings,
        _load_and_serve,
        services=[SERVICE],
        table=ANALYTICS_STATUS,
        fatal_errors=(AnalyzerError,),
        arguments=arguments,
    )


async def serve(
    settings: AnalyticsSettings, server: Server, analyzers: Mapping[str, Analyzer]
) -> None:
    """Answer calls until the server is told to stop; the decoder may come and go meanwhile.

    Raises:
        BadSettings: what is to be watched cannot be.
        DatabaseUnusable: the results store cannot be opened.
        Unreachable: no NATS server lets the service in, or none does any longer.
    """
    wanted = wanted_from_settings(settings, analyzers)
    async with AsyncExitStack() as closing:
        store = await _open_store(settings, closing)
        channel = open_channel(
            settings.decoder,
            access=access_of(settings),
            max_message_bytes=settings.max_message_bytes,
        )
        closing.push_async_callback(channel.close)
        readers = Workers(threads=settings.threads, max_queued=settings.max_queued, name="reading")
        closing.push_async_callback(asyncio.to_thread, readers.close)
        lanes = {name: _lane(settings, analyzer) for name, analyzer in analyzers.items()}
        for lane in lanes.values():
            closing.push_async_callback(asyncio.to_thread, lane.close)
        decoder = Decoder(channel, address=settings.decoder, limits=settings.limits)
        pictures = Pictures(
            lanes,
            decoder,
            readers,
            store,
            limits=settings.limits,
            kept_minimum_score=settings.kept_minimum_score,
        )
        servicer = AnalyticsServicer(
            analyzers,
            pictures,
            decoder,
            store,
            decode_seconds=settings.decode_seconds,
            analyze_ahead=settings.analyze_ahead,
            stopping=server.stopping,
        )
        server.add(analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server, servicer)
        await closing.enter_async_context(_checks(settings, server, channel, lanes, store))
        if settings.watch_group is not None and store is not None:
            group = await closing.enter_async_context(joined(settings, server.readiness, store))
            look = partial(_problem_of, group, server)
            await closing.enter_async_context(checked(server.readiness, "group", look))
            for one in wanted:
                watch = GroupWatch(one, group, pictures, stopping=server.stopping)
                await closing.enter_async_context(_running(watch.run()))
        elif store is not None:
            for one in wanted:
                subscription = Subscription(
                    one,
                    decoder,
                    pictures,
                    store,
                    readiness=server.readiness,
                    stopping=server.stopping,
                )
                await closing.enter_async_context(_running(subscription.run()))
        await server.serve()


def _lane(settings: AnalyticsSettings, analyzer: Analyzer) -> Lane:
    return Lane(
        analyzer,
        limits=settings.batch_limits,
        max_queued=settings.max_queued,
        deadline_seconds=settings.analyze_seconds,
    )


async def _open_store(
    settings: AnalyticsSettings, closing: AsyncExitStack
) -> SqliteResultStore | None:
    path = settings.results_file
    if path is None:
        return None
    store = await SqliteResultStore.open(path, settings.result_limits)
    closing.push_async_callback(store.close)
    metrics.RESULTS_BYTES.set_function(lambda: database_bytes(path))
    metrics.RESULTS_FREE_BYTES.set_function(lambda: disk_usage(path.parent).free)
    return store


@asynccontextmanager
async def _checks(
    settings: AnalyticsSettings,
    server: Server,
    channel: grpc.aio.Channel,
    lanes: Mapping[str, Lane],
    store: ResultStore | None,
) -> AsyncIterator[None]:
    """Report what stands in the way; nothing of it keeps out what does not need it."""
    degrades = Severity.DEGRADES

    async def stuck() -> Problem | None:
        names = [name for name, lane in lanes.items() if lane.stuck_seconds is not None]
        if not names:
            return None
        return Problem(degrades, f"analyzers that do not answer: {', '.join(names)}")

    async def room() -> Problem | None:
        try:
            if store is not None:
                await store.check_room()
        except ResultsFull:
            return Problem(degrades, "the results store has no room for new results")
        return None

    ready = server.readiness
    async with (
        reached(ready, "decoder", channel, settings.decoder, without=degrades),
        checked(ready, "analyzers", stuck),
        checked(ready, "results", room),
    ):
        yield


async def _problem_of(group: Group, server: Server) -> Problem | None:
    """Tell whether the servers by which a group's members share frames have locked this one out."""
    if not group.client.is_closed:
        return None
    text = locked_out(group.client)
    server.stop(because=Unreachable(text))
    return Problem(Severity.DEGRADES, text)


@asynccontextmanager
async def _running(watch: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Watch in the background; at the end, what is under way may still be stored."""
    task = asyncio.create_task(watch)
    try:
        yield
    finally:
        await asyncio.wait([task], timeout=_LAST_RESULTS_SECONDS)
        task.cancel()
        await asyncio.wait([task])


async def _load_and_serve(settings: AnalyticsSettings, server: Server) -> None:
    try:
        analyzers = await asyncio.to_thread(load_analyzers, settings.analyzers)
    except (BadSpecification, UnknownAnalyzer) as error:
        raise BadSettings([str(error)]) from error
    if settings.analyzer_threads is not None:
        limit_threads(settings.analyzer_threads)
    await serve(settings, server, analyzers)
