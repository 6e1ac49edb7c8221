"""Measures encode and decode through the services against in-process; prints JSON."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from ugicm_client.camera import CameraClient
from ugicm_client.demo.processes import started
from ugicm_client.operator import OperatorClient
from ugicm_codec import Codec
from ugicm_codec.memory import keep_freed_memory


async def main() -> None:
    """Measure ``PICTURE REPEAT``."""
    path, repeat = sys.argv[1:]
    # As the services do: the two sides differ in the transport alone.
    keep_freed_memory()
    picture, times = np.load(Path(path)), int(repeat)
    codec = Codec.load()
    # Another stream each time, so that no cache of decoded latents answers.
    streams = [codec.encode(np.roll(picture, 16 * turn, axis=1)) for turn in range(times + 1)]

    # In a thread beside the event loop's, as in the services.
    here = {
        "encode": await _steady(lambda turn: asyncio.to_thread(codec.encode, picture), times),
        "decode": await _steady(lambda turn: asyncio.to_thread(codec.decode, streams[turn]), times),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ["--store", str(folder / "frames.sqlite3")]
        async with (
            started("decoder", store, log=folder / "decoder.log") as decoder,
            started("encoder", [], log=folder / "encoder.log") as encoder,
        ):
            await decoder.until_serving()
            await encoder.until_serving()
            async with (
                CameraClient(encoder.address) as camera,
                OperatorClient(decoder.address) as operator,
            ):
                there = {
                    "encode": await _steady(lambda turn: camera.encode(picture), times),
                    "decode": await _steady(
                        lambda turn: operator.decode(streams[turn], [0.0]), times
                    ),
                }
    print(json.dumps({"in-process": here, "gRPC": there}))


async def _steady(call: Callable[[int], Awaitable[Any]], repeat: int) -> float:
    await call(0)
    seconds = []
    for turn in range(1, repeat + 1):
        start = time.perf_counter()
        await call(turn)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    asyncio.run(main())
