"""Decoders as processes, each at an address of its own on one port, as pods of a service are."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager

import pytest

from tests.decoder.harness import started
from ugicm_client.channel import until_serving
from ugicm_servicekit.channel import open_channel

needs_loopback = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback interface"
)

PORT = 50_052
METRICS_PORT = 50_062


def address(number):
    """Return an address of this machine that no other process of these tests uses."""
    high, low = divmod(os.getpid(), 250)
    return f"127.{64 + high % 128}.{1 + low}.{number}"


@asynccontextmanager
async def replica(number, folder, *flags):
    """Run a decoder at its own address; yields its process once it serves."""
    arguments = (
        f"--host={address(number)}",
        f"--port={PORT}",
        f"--metrics-host={address(number)}",
        f"--metrics-port={METRICS_PORT}",
        f"--store={folder / f'{number}.sqlite'}",
        "--connection-age-seconds=2",
        "--latents-cache-bytes=0",
        "--views-cache-bytes=0",
        *flags,
    )
    module = "tests.decoder.fake_service"
    async with started("-m", module, *arguments, at=address(number)) as (process, where):
        async with open_channel(where) as channel:
            await until_serving(channel)
        yield process
