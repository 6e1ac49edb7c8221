"""The services that a demo goes through: processes of its own, or those that run already."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ugicm_client.camera import CameraClient
from ugicm_client.demo.processes import ServiceProcess, started
from ugicm_client.operator import OperatorClient
from ugicm_client.pipeline import PipelineClient
from ugicm_servicekit.access import Access

__all__ = ["Addresses", "Clients", "Services", "connected", "own_console", "own_services"]

T = TypeVar("T")


@dataclass(frozen=True)
class Addresses:
    """Where services answer, each ``host:port``."""

    encoder: str
    decoder: str
    analytics: str


@dataclass(frozen=True)
class Clients:
    """Whoever asks a system for something."""

    camera: CameraClient
    operator: OperatorClient
    pipeline: PipelineClient


@dataclass(frozen=True)
class Services:
    """Services of one's own."""

    encoder: ServiceProcess
    decoder: ServiceProcess
    analytics: ServiceProcess

    @property
    def addresses(self) -> Addresses:
        """Where they answer."""
        return Addresses(self.encoder.address, self.decoder.address, self.analytics.address)


@asynccontextmanager
async def connected(addresses: Addresses, access: Access) -> AsyncIterator[Clients]:
    """Connect to services, whoever runs them.

    Raises:
        BadSettings: what is to be shown to them cannot be used.
    """
    async with (
        CameraClient(addresses.encoder, access=access) as camera,
        OperatorClient(addresses.decoder, access=access) as operator,
        PipelineClient(addresses.analytics, access=access) as pipeline,
    ):
        yield Clients(camera, operator, pipeline)


@asynccontextmanager
async def own_services(logs: Path) -> AsyncIterator[Services]:
    """Start the services as processes, which are gone at the end, with all that they stored.

    Args:
        logs: the folder that their logs come into.

    Raises:
        ProcessError: a service does not start.
    """
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ugicm-demo-")))

        async def start(service: str, *arguments: str) -> ServiceProcess:
            log = logs / f"{service}.log"
            return await stack.enter_async_context(started(service, arguments, log=log))

        decoder = await start("decoder", "--store", str(state / "frames.sqlite"))
        encoder, analytics = await _together(
            start("encoder", "--upstream", decoder.address),
            start(
                "analytics",
                *("--decoder", decoder.address, "--results", str(state / "results.sqlite")),
            ),
        )
        await _together(*(each.until_serving() for each in (decoder, encoder, analytics)))
        yield Services(encoder, decoder, analytics)


@asynccontextmanager
async def own_console(services: Services, logs: Path) -> AsyncIterator[str]:
    """Start the operator's page over services; yields its address, and it is gone at the end.

    Raises:
        ProcessError: it does not start.
    """
    arguments = (
        *("--decoder", services.decoder.address),
        *("--decoder-metrics", services.decoder.metrics),
        *("--encoder", services.encoder.address),
        *("--encoder-metrics", services.encoder.metrics),
        *("--analytics", services.analytics.address),
        *("--analytics-metrics", services.analytics.metrics),
    )
    async with started("console", arguments, log=logs / "console.log") as process:
        yield f"http://{process.address}"


async def _together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Return the results in order; the first error ends the others, cleanups included."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
