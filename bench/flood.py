"""Floods a decoder with one client's calls, from a process of its own, until it is ended.

A line on standard output says when it has its first answer.

Usage: UGICM_TOKEN=... python bench/flood.py ADDRESS NUM_FRAMES
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

import grpc

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel

_CALLERS = 128


async def main() -> None:
    """Keep calls under way; one that is refused waits as it is told to."""
    address, num_frames = sys.argv[1:]
    begun = asyncio.Event()
    sequences = itertools.cycle(range(int(num_frames)))
    async with open_channel(address, access=Access(token=os.environ["UGICM_TOKEN"])) as channel:
        stub = DecoderServiceStub(channel)

        async def caller() -> None:
            while True:
                key = types_pb2.FrameKey(camera="load", epoch=1, sequence=next(sequences))
                request = decoder_pb2.DecodeRequest(
                    key=key,
                    views=[types_pb2.View(number=0.5)],
                    format=types_pb2.PIXEL_FORMAT_RGB,
                )
                try:
                    async for _ in stub.Decode(request):
                        pass
                    begun.set()
                except grpc.aio.AioRpcError as error:
                    hint = dict(error.trailing_metadata()).get("grpc-retry-pushback-ms", 1000)
                    await asyncio.sleep(int(hint) / 1000)

        async def tell() -> None:
            await begun.wait()
            print("flooding", flush=True)

        await asyncio.gather(tell(), *(caller() for _ in range(_CALLERS)))


if __name__ == "__main__":
    asyncio.run(main())
