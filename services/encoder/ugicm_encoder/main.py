"""Run the encoder as a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc

from ugicm.v1 import encoder_pb2, encoder_pb2_grpc
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_encoder import metrics
from ugicm_encoder.coding import Coder
from ugicm_encoder.coding_process import CodingProcess
from ugicm_encoder.delivery import Delivery, DirectDelivery, SpooledDelivery
from ugicm_encoder.errors import CodingProcessEnded, SpoolUnusable
from ugicm_encoder.forwarding import Forwarder
from ugicm_encoder.link import Link
from ugicm_encoder.processes import CodingProcesses
from ugicm_encoder.servicer import EncoderServicer
from ugicm_encoder.settings import EncoderSettings
from ugicm_encoder.spool import SqliteSpool
from ugicm_encoder.status import ENCODER_STATUS
from ugicm_encoder.upstream import Upstream
from ugicm_servicekit.access import access_of
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.checks import reached
from ugicm_servicekit.models import Models, ReloadableModels, load_models
from ugicm_servicekit.process import run_service
from ugicm_servicekit.readiness import Readiness, Severity
from ugicm_servicekit.refused_frames import FOLDER, RefusedFrames
from ugicm_servicekit.server import Server

__all__ = ["SERVICE", "main", "serve"]

SERVICE = encoder_pb2.DESCRIPTOR.services_by_name["EncoderService"].full_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the encoder until SIGTERM or SIGINT, and return the process's exit status."""
    return run_service(
        "encoder",
        EncoderSettings,
        _load_and_serve,
        services=[SERVICE],
        table=ENCODER_STATUS,
        fatal_errors=(CodingProcessEnded, SpoolUnusable),
        arguments=arguments,
    )


async def serve(settings: EncoderSettings, server: Server, models: Models) -> None:
    """Answer calls until the server is told to stop.

    Raises:
        CodingProcessEnded: a coding process cannot start.
        SpoolUnusable: the spool cannot be opened.
    """
    start = partial(CodingProcess, settings.models, device=settings.device, limits=settings.limits)
    processes = CodingProcesses(start, settings.processes, models)
    server.reloader.add(processes)
    coder = Coder(
        processes,
        threads=settings.threads,
        in_company=settings.in_company,
        max_queued=settings.max_queued,
        limits=settings.limits,
        default_quality=settings.quality,
    )
    try:
        await asyncio.to_thread(processes.begin)
        async with _delivery(settings, server.readiness) as delivery:
            servicer = EncoderServicer(
                models,
                coder,
                delivery,
                limits=settings.limits,
                encode_ahead=settings.encode_ahead,
                stopping=server.stopping,
            )
            server.add(encoder_pb2_grpc.add_EncoderServiceServicer_to_server, servicer)
            await server.serve()
    finally:
        await asyncio.to_thread(coder.close)
        await asyncio.to_thread(processes.close)


@asynccontextmanager
async def _delivery(
    settings: EncoderSettings, readiness: Readiness
) -> AsyncIterator[Delivery | None]:
    if settings.upstream is None:
        yield None
        return
    # With a spool, frames are taken without the decoder too.
    without = Severity.BLOCKS if settings.spool is None else Severity.DEGRADES
    async with (
        open_channel(
            settings.upstream,
            access=access_of(settings),
            max_message_bytes=settings.max_message_bytes,
        ) as channel,
        reached(readiness, "decoder", channel, settings.upstream, without=without),
    ):
        if settings.spool is not None:
            async with _spooled(settings, settings.spool, settings.upstream, channel) as spooled:
                yield spooled
            return
        upstream = Upstream(
            channel,
            settings.upstream,
            timeout_seconds=settings.upstream_seconds,
            max_request_bytes=settings.max_message_bytes,
        )
        try:
            yield DirectDelivery(upstream)
        finally:
            await upstream.close()


@asynccontextmanager
async def _spooled(
    settings: EncoderSettings, folder: Path, address: str, channel: grpc.aio.Channel
) -> AsyncIterator[Delivery]:
    spool = await SqliteSpool.open(
        folder,
        max_bytes=settings.spool_bytes,
        min_free_bytes=settings.spool_min_free_bytes,
        when_full=settings.spool_full,
    )
    try:
        stub = DecoderServiceStub(channel)
        forwarder = Forwarder(
            spool,
            lambda: Link(stub, address, max_request_bytes=settings.max_message_bytes),
            RefusedFrames(folder / FOLDER),
            ahead=settings.forward_ahead,
            timeout_seconds=settings.upstream_seconds,
            backoff=Backoff(),
        )
        _measure(spool, forwarder)
        forwarding = asyncio.create_task(forwarder.run())
        try:
            yield SpooledDelivery(spool, lambda: forwarder.max_request_bytes)
        finally:
            forwarding.cancel()
            await asyncio.wait([forwarding])
    finally:
        await spool.close()


def _measure(spool: SqliteSpool, forwarder: Forwarder) -> None:
    metrics.SPOOL_ITEMS.set_function(lambda: spool.usage.num_items)
    metrics.SPOOL_BYTES.set_function(lambda: spool.usage.num_bytes)
    metrics.SPOOL_DROPPED_FRAMES.set_function(lambda: spool.usage.num_dropped)
    metrics.SPOOL_DAMAGED_FRAMES.set_function(lambda: spool.usage.num_damaged)
    metrics.UPSTREAM_LINKED.set_function(lambda: forwarder.is_linked)
    metrics.SPOOL_OLDEST_SECONDS.set_function(lambda: _age_seconds(spool, forwarder))


def _age_seconds(spool: SqliteSpool, forwarder: Forwarder) -> float:
    """Return how long ago the oldest frame was captured that the decoder has yet to get."""
    oldest = forwarder.oldest
    if not spool.usage.num_items or oldest is None or not oldest.request.HasField("frame"):
        return 0.0
    return time.time() - oldest.request.frame.capture_time.ToNanoseconds() / 1e9


async def _load_and_serve(settings: EncoderSettings, server: Server) -> None:
    load = partial(load_models, settings.models, device=settings.device, limits=settings.limits)
    models = await asyncio.to_thread(load)
    server.reloader.add(ReloadableModels(models, load))
    await serve(settings, server, models)
