"""What tests/images/test_engine.py sees of containers, of plain processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.decoder.harness import ROOT
from tests.drill.proxy import Link
from tests.drill.services import Service
from tests.images.scenario import no_frame_is_lost_when_the_decoder_is_killed, the_demo_passes
from ugicm_client.channel import until_serving
from ugicm_client.demo.system import Addresses
from ugicm_servicekit.channel import open_channel


@dataclass
class Processes:
    addresses: Addresses
    decoder: Service

    async def kill_decoder(self):
        await self.decoder.kill()

    async def start_decoder(self):
        await self.decoder.start()


@asynccontextmanager
async def running(folder):
    """Start encoder, decoder and analytics as docker-compose.yml tells them."""
    async with AsyncExitStack() as opened:
        encoding, decoding, analyzing = [
            await opened.enter_async_context(Link.open()) for _ in range(3)
        ]
        decoder = Service(
            "ugicm_decoder",
            [f"--store={folder / 'frames.sqlite'}"],
            decoding,
            folder / "decoder.log",
        )
        encoder = Service(
            "ugicm_encoder",
            [f"--upstream={decoding.address}", f"--spool={folder / 'spool'}"],
            encoding,
            folder / "encoder.log",
        )
        analytics = Service(
            "ugicm_analytics",
            [f"--decoder={decoding.address}", f"--results={folder / 'results.sqlite'}"],
            analyzing,
            folder / "analytics.log",
        )
        for service in (decoder, encoder, analytics):
            opened.push_async_callback(service.stop)
        await asyncio.gather(*(each.start() for each in (decoder, encoder, analytics)))
        for link in (decoding, encoding, analyzing):
            async with open_channel(link.address) as channel:
                await until_serving(channel)
        yield Processes(Addresses(encoding.address, decoding.address, analyzing.address), decoder)


@pytest.mark.slow
async def test_the_demo_passes_and_no_frame_is_lost_when_the_decoder_is_killed(tmp_path):
    async with running(tmp_path) as system:
        await the_demo_passes(system, tmp_path)
        await no_frame_is_lost_when_the_decoder_is_killed(system)


@pytest.mark.parametrize(
    ("module", "flags", "error"),
    [
        ("tests.decoder.fake_service", ["--store={}/frames.sqlite"], "decoder: cannot open"),
        (
            "tests.encoder.fake_service",
            ["--upstream=127.0.0.1:1", "--spool={}/spool"],
            "encoder: cannot open",
        ),
        ("ugicm_analytics", ["--results={}/results.sqlite"], "analytics: cannot open"),
        ("tests.decoder.fake_service", ["--store=f.sqlite", "--tls-cert={}", "--tls-key={}"], "{}"),
        ("ugicm_console", ["--config={}"], "console: {}"),
        ("ugicm_console", ["--decodr=decoder:50052"], "console: --decodr is not a setting"),
    ],
)
def test_bad_settings_end_the_start_with_one_line(module, flags, error, tmp_path):
    # Not even root can make a folder of it, as of one that is not there in a read-only container.
    file = tmp_path / "file"
    file.write_text("quality = [")
    command = [sys.executable, "-m", module, "--port=0", *(flag.format(file) for flag in flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("20")]  # of the log
    assert len(lines) == 1
    assert error.format(file) in lines[0]
