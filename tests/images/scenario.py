"""What holds of a whole system, in containers or as processes."""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

import numpy as np
from PIL import Image

from tests.fake_codec import picture
from ugicm.v1 import encoder_pb2
from ugicm_client.camera import CameraClient
from ugicm_client.demo.system import Addresses
from ugicm_client.operator import OperatorClient
from ugicm_servicekit.wire import key_from_wire

NUM_FRAMES = 24
KILLED_AT = 8
STARTED_AT = 16
SETTLE_SECONDS = 60


class System(Protocol):
    """Services that run, with a decoder that can be killed."""

    addresses: Addresses

    async def kill_decoder(self) -> None:
        """End it by SIGKILL."""

    async def start_decoder(self) -> None:
        """Start it again where it was, over the same store."""


async def the_demo_passes(system, folder):
    """Run ``ugicm demo`` against a system, and look at what it leaves."""
    photos = folder / "photos"
    photos.mkdir()
    row, column = np.mgrid[0:64, 0:80].astype(np.uint8)
    Image.fromarray(np.dstack([row * 3, column * 3, row + column])).save(photos / "slope.png")
    where = system.addresses
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ugicm_client", "demo", f"--photos={photos}"),
        f"--out={folder / 'out'}",
        *("--services", where.encoder, where.decoder, where.analytics),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    print(output)
    for name in ("streams/slope.ugi", "human/slope.png", "machine/slope.png", "contact-sheet.png"):
        assert (folder / "out" / name).stat().st_size > 0
    assert not (folder / "out" / "logs").exists()  # it started nothing


async def no_frame_is_lost_when_the_decoder_is_killed(system):
    """Stream frames while the decoder is killed and started; compare the store with the answers."""

    async def pictures():
        for sequence in range(NUM_FRAMES):
            if sequence == KILLED_AT:
                await system.kill_decoder()
            if sequence == STARTED_AT:
                await system.start_decoder()
            yield picture(64, 80, seed=sequence)

    sent = {}
    async with (
        CameraClient(system.addresses.encoder) as camera,
        OperatorClient(system.addresses.decoder) as operator,
    ):
        frames = camera.stream(pictures(), camera="gate", epoch=1, most_unanswered=1)
        async for frame in frames:
            assert not isinstance(frame.outcome, Exception), frame.outcome
            sent[frame.key] = frame.outcome
        assert [key.sequence for key in sent] == list(range(NUM_FRAMES))
        spooled = [
            key.sequence
            for key, outcome in sent.items()
            if outcome.delivery == encoder_pb2.DELIVERY_SPOOLED
        ]
        # Accepted while there was no decoder.
        assert set(range(KILLED_AT, STARTED_AT)) <= set(spooled)

        await operator.until_serving(SETTLE_SECONDS)
        stored = []
        async with asyncio.timeout(SETTLE_SECONDS):
            while len(stored) < NUM_FRAMES:
                stored = [key_from_wire(one.key) async for one in operator.frames("gate")]
                await asyncio.sleep(0.05)  # it lies in another process
        assert stored == list(sent)
        for key, outcome in sent.items():
            assert await operator.stream(key) == outcome.stream
        decoded = await operator.decode(stored[KILLED_AT], [0.0, 1.0])
        assert [image.shape for image in decoded.images] == [(64, 80, 3)] * 2
    print(
        f"decoder killed: {NUM_FRAMES} frames accepted, {len(spooled)} by way of the spool; "
        f"{len(stored)} stored once, in order, 0 lost"
    )
