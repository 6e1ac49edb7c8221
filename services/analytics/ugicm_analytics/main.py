"""Run analytics as a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import cv2
from ugicm_analyzers.errors import AnalyzerError, UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer
from ugicm_analyzers.registry import load_analyzers

from ugicm.v1 import analytics_pb2, analytics_pb2_grpc
from ugicm_analytics.decoder import Decoder
from ugicm_analytics.servicer import AnalyticsServicer
from ugicm_analytics.settings import AnalyticsSettings
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_servicekit.access import access_of
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.checks import reached
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.process import run_service
from ugicm_servicekit.readiness import Severity
from ugicm_servicekit.server import Server
from ugicm_servicekit.work import Workers

__all__ = ["SERVICE", "main", "serve"]

SERVICE = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"].full_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run analytics until SIGTERM or SIGINT, and return the process's exit status."""
    return run_service(
        "analytics",
        AnalyticsSettings,
        _load_and_serve,
        services=[SERVICE],
        table=ANALYTICS_STATUS,
        start_errors=(AnalyzerError,),
        arguments=arguments,
    )


async def serve(
    settings: AnalyticsSettings, server: Server, analyzers: Mapping[str, Analyzer]
) -> None:
    """Answer calls until the server is told to stop; the decoder may come and go meanwhile."""
    channel = open_channel(
        settings.decoder,
        access=access_of(settings),
        max_message_bytes=settings.max_message_bytes,
    )
    workers = Workers(threads=settings.threads, max_queued=settings.max_queued, name="analysis")
    try:
        servicer = AnalyticsServicer(
            analyzers,
            Decoder(channel, address=settings.decoder, limits=settings.limits),
            workers,
            limits=settings.limits,
            decode_seconds=settings.decode_seconds,
            analyze_ahead=settings.analyze_ahead,
            stopping=server.stopping,
        )
        server.add(analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server, servicer)
        # Pictures that come with requests need no decoder.
        degraded = Severity.DEGRADES
        async with reached(
            server.readiness, "decoder", channel, settings.decoder, without=degraded
        ):
            await server.serve()
    finally:
        await asyncio.to_thread(workers.close)
        await channel.close()


async def _load_and_serve(settings: AnalyticsSettings, server: Server) -> None:
    # Pictures are analyzed side by side; OpenCV's own threads on top would only compete.
    cv2.setNumThreads(1)
    try:
        analyzers = await asyncio.to_thread(load_analyzers, settings.analyzers)
    except UnknownAnalyzer as error:
        raise BadSettings([str(error)]) from error
    await serve(settings, server, analyzers)
