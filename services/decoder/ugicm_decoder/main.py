"""Run the decoder as a process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from shutil import disk_usage

from ugicm.v1 import decoder_pb2, decoder_pb2_grpc
from ugicm_decoder import metrics
from ugicm_decoder.errors import DecoderError, StoreError, StoreFull, StoreLost
from ugicm_decoder.renderer import Renderer
from ugicm_decoder.servicer import DecoderServicer
from ugicm_decoder.settings import DecoderSettings
from ugicm_decoder.status import DECODER_STATUS
from ugicm_decoder.store import FrameStore, JetStreamFrameStore, SqliteFrameStore
from ugicm_servicekit.checks import checked
from ugicm_servicekit.models import Models, ReloadableModels, load_models
from ugicm_servicekit.process import run_service
from ugicm_servicekit.readiness import Problem, Severity
from ugicm_servicekit.server import Server
from ugicm_servicekit.sqlite import database_bytes

__all__ = ["SERVICE", "main", "serve"]

SERVICE = decoder_pb2.DESCRIPTOR.services_by_name["DecoderService"].full_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the decoder until SIGTERM or SIGINT, and return the process's exit status."""
    return run_service(
        "decoder",
        DecoderSettings,
        _load_and_serve,
        services=[SERVICE],
        table=DECODER_STATUS,
        fatal_errors=(DecoderError,),
        arguments=arguments,
    )


async def serve(settings: DecoderSettings, server: Server, models: Models) -> None:
    """Open the store, answer calls until the server is told to stop, and close the store.

    Raises:
        BadSettings, StoreUnusable, Unreachable: the store cannot be opened.
        StoreLost: it has to be opened anew.
    """
    store = await _open_store(settings)
    renderer = Renderer(
        threads=settings.threads,
        in_company=settings.in_company,
        max_queued=settings.max_queued,
        limits=settings.batch_limits,
        latents_cache_bytes=settings.latents_cache_bytes,
        views_cache_bytes=settings.views_cache_bytes,
    )
    try:
        servicer = DecoderServicer(
            models,
            store,
            renderer,
            limits=settings.limits,
            ingest_ahead=settings.ingest_ahead,
            decode_ahead=settings.decode_ahead,
            max_views=settings.max_views,
            max_message_bytes=settings.max_message_bytes,
            stopping=server.stopping,
        )
        server.add(decoder_pb2_grpc.add_DecoderServiceServicer_to_server, servicer)
        async with checked(server.readiness, "store", partial(_problem_of, store, server)):
            await server.serve()
    finally:
        await asyncio.to_thread(renderer.close)
        await store.close()


async def _open_store(settings: DecoderSettings) -> FrameStore:
    settings.check_store()
    if settings.nats:
        # What is free on their disks, the servers' own metrics tell.
        metrics.STORE_FREE_BYTES.set(math.inf)
        return await JetStreamFrameStore.open(
            settings,
            retention_seconds=settings.retention_seconds,
            max_bytes=settings.nats_max_bytes,
        )
    store = await SqliteFrameStore.open(settings.store, settings.store_limits)
    metrics.STORE_BYTES.set_function(lambda: database_bytes(settings.store))
    metrics.STORE_FREE_BYTES.set_function(lambda: disk_usage(settings.store.parent).free)
    return store


async def _problem_of(store: FrameStore, server: Server) -> Problem | None:
    """Tell what is wrong with the store: while it is full, what it has can be read."""
    try:
        await store.check_room()
    except StoreFull:
        return Problem(Severity.DEGRADES, "the frame store has no room for new frames")
    except StoreLost as error:
        server.stop(because=error)
        return Problem(Severity.BLOCKS, str(error))
    except StoreError as error:
        return Problem(Severity.BLOCKS, str(error))
    return None


async def _load_and_serve(settings: DecoderSettings, server: Server) -> None:
    load = partial(load_models, settings.models, device=settings.device, limits=settings.limits)
    models = await asyncio.to_thread(load)
    server.reloader.add(ReloadableModels(models, load))
    await serve(settings, server, models)
