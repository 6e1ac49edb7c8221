"""Cameras whose frames were coded beforehand, as their encoders do on machines of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_client.demo.photos import bundled_photos
from ugicm_codec import Codec
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.wire import FrameKey, key_to_wire, nanoseconds_to_wire

__all__ = ["Stored", "ingest", "photo_streams"]


@dataclass(frozen=True)
class Stored:
    """A frame that the decoder stored, and how long after it was due."""

    key: FrameKey
    seconds: float


def photo_streams(number_of_streams: int, *, size: tuple[int, int], quality: int) -> list[bytes]:
    """Return photographs as streams, each another one: no cache knows it.

    Args:
        number_of_streams: how many.
        size: width and height of each.
        quality: 0 to 100.
    """
    codec = Codec.load()
    photos = bundled_photos()
    streams = []
    for number in range(number_of_streams):
        with Image.open(photos[number % len(photos)]) as photo:
            scaled = np.asarray(photo.convert("RGB").resize(size))
        streams.append(codec.encode(np.roll(scaled, number, axis=1), quality))
    return streams


async def ingest(
    address: str, streams: Sequence[bytes], cameras: Sequence[str], rate: float, *, epoch: int = 1
) -> AsyncIterator[Stored]:
    """Send every frame when it is due, the cameras evenly one after the other.

    Args:
        address: of the decoder.
        streams: of the frames, the first of each camera first.
        cameras: by name.
        rate: frames a second of each camera.
        epoch: of all frames.
    """
    began = time.time_ns()
    due_ns = [began + round(1e9 * number / rate / len(cameras)) for number in range(len(streams))]
    keys = [
        FrameKey(cameras[number % len(cameras)], epoch, number // len(cameras))
        for number in range(len(streams))
    ]

    async def frames() -> AsyncIterator[decoder_pb2.IngestRequest]:
        for key, due, stream in zip(keys, due_ns, streams, strict=True):
            await asyncio.sleep(max(0.0, (due - time.time_ns()) / 1e9))
            frame = types_pb2.Frame(
                key=key_to_wire(key), capture_time=nanoseconds_to_wire(due), stream=stream
            )
            yield decoder_pb2.IngestRequest(frame=frame)

    async with open_channel(address) as channel:
        number = 0
        async for answer in DecoderServiceStub(channel).Ingest(frames()):
            if answer.result == decoder_pb2.INGEST_RESULT_STORED:
                yield Stored(keys[number], (time.time_ns() - due_ns[number]) / 1e9)
            number += 1
