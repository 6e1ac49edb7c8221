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


async def main() -> None:
    """Measure ``PICTURE REPEAT``."""
    path, repeat = sys.argv[1:]
    picture, times = np.load(Path(path)), int(repeat)
    codec = Codec.load()
    stream = codec.encode(picture)

    async def encode_here() -> None:
        codec.encode(picture)

    async def decode_here() -> None:
        codec.decode(stream)

    here = {
        "encode": await _steady(encode_here, times),
        "decode": await _steady(decode_here, times),
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
                    "encode": await _steady(lambda: camera.encode(picture), times),
                    "decode": await _steady(lambda: operator.decode(stream, [0.0]), times),
                }
    print(json.dumps({"in-process": here, "gRPC": there}))


async def _steady(call: Callable[[], Awaitable[Any]], repeat: int) -> float:
    await call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    asyncio.run(main())
