"""Run the console as a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc

from ugicm_client.status import metrics_address
from ugicm_console.access import Access as BrowserAccess
from ugicm_console.access import UploadLimits, hosts_of
from ugicm_console.app import make_app
from ugicm_console.events import Events
from ugicm_console.findings import Findings
from ugicm_console.frames import Frames
from ugicm_console.pictures import Pictures
from ugicm_console.services import Service, Services, analytics_at, decoder_at, encoder_at
from ugicm_console.sessions import Sessions
from ugicm_console.settings import ConsoleSettings
from ugicm_console.system import Place, System
from ugicm_console.upload_store import UploadStore
from ugicm_console.uploads import Uploads
from ugicm_console.web_server import WebServer
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.checks import reached
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.process import run_process
from ugicm_servicekit.readiness import Severity
from ugicm_servicekit.work import Workers

__all__ = ["main", "serve"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console until SIGTERM or SIGINT, and return the process's exit status."""
    return run_process("console", ConsoleSettings, WebServer, serve, arguments=arguments)


async def serve(settings: ConsoleSettings, server: WebServer) -> None:
    """Answer browsers until the server is told to stop; services may come and go meanwhile.

    Raises:
        BadSettings: an address is none, a file of TLS cannot be used, or users' tokens would
            travel to another machine in plaintext.
    """
    access = Access(
        transport=settings.upstream_transport,
        ca=settings.upstream_tls_ca,
        cert=settings.upstream_tls_cert,
        key=settings.upstream_tls_key,
    )
    places = _places(settings)
    async with AsyncExitStack() as closing:
        services = await _services(settings, access, server, closing)
        workers = Workers(
            threads=settings.threads, max_queued=settings.max_queued, name="comparing"
        )
        closing.push_async_callback(asyncio.to_thread, workers.close)
        store = UploadStore(
            max_per_session=settings.max_uploads_per_session, max_bytes=settings.max_uploads_bytes
        )
        sessions = Sessions(
            server.tokens,
            lifetime_seconds=settings.session_seconds,
            idle_seconds=settings.session_idle_seconds,
            max_sessions=settings.max_sessions,
            ended=store.forget,
        )
        findings = Findings(services)
        pictures = Pictures(services.decoder, settings.limits)
        app = make_app(
            BrowserAccess(
                sessions,
                services,
                UploadLimits(settings.max_upload_bytes, settings.max_uploads_per_session),
                hosts=hosts_of(settings, settings.hosts),
                is_encrypted=server.is_encrypted,
                request_seconds=settings.request_seconds,
            ),
            frames=Frames(services.decoder, pictures),
            findings=findings,
            uploads=Uploads(
                services,
                pictures,
                findings,
                store,
                workers,
                limits=settings.upload_limits,
                max_bytes=settings.max_upload_bytes,
                request_seconds=settings.request_seconds,
            ),
            events=Events(
                services,
                sessions,
                max_per_session=settings.max_streams_per_session,
                stopping=server.stopping,
            ),
            system=System(places, access, server.readiness),
            is_encrypted=server.is_encrypted,
        )
        await server.serve(app)


async def _services(
    settings: ConsoleSettings, access: Access, server: WebServer, closing: AsyncExitStack
) -> Services:
    """Open a channel to each service; what cannot be reached is reported, and may come yet."""

    async def at(make: Callable[..., Service], address: str) -> Service:
        if server.tokens is not None:
            replace(access, token="a user's").check(address)
        channel: grpc.aio.Channel = open_channel(
            address, access=access, max_message_bytes=settings.max_message_bytes
        )
        closing.push_async_callback(channel.close)
        service = make(address, channel, timeout_seconds=settings.call_seconds)
        # A console without services still tells its users which of them are away.
        await closing.enter_async_context(
            reached(server.readiness, service.name, channel, address, without=Severity.DEGRADES)
        )
        return service

    return Services(
        await at(decoder_at, settings.decoder),
        await at(encoder_at, settings.encoder) if settings.encoder else None,
        await at(analytics_at, settings.analytics) if settings.analytics else None,
    )


def _places(settings: ConsoleSettings) -> dict[str, Place | None]:
    addresses = {
        "decoder": (settings.decoder, settings.decoder_metrics),
        "encoder": (settings.encoder, settings.encoder_metrics),
        "analytics": (settings.analytics, settings.analytics_metrics),
    }
    places: dict[str, Place | None] = dict.fromkeys(addresses)
    for name, (address, metrics) in addresses.items():
        if address:
            try:
                places[name] = Place(address, metrics or metrics_address(address))
            except ValueError:
                raise BadSettings([f"{name} is host:port, got {address!r}"]) from None
    return places
