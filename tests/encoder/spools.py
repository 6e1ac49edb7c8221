"""Spools with clocks and disks that a test drives, and what is put into them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import types_pb2 as types
from ugicm_encoder.spool import SpoolFull, SqliteSpool
from ugicm_servicekit.wire import FrameKey


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def spooling(folder, **options):
    """Open a spool in ``folder``; large, where the test does not say otherwise."""
    chosen = {"max_bytes": 2**30, "min_free_bytes": 0, "when_full": SpoolFull.REFUSE, **options}
    spool = await SqliteSpool.open(folder, **chosen)
    try:
        yield spool
    finally:
        await spool.close()


def frame(sequence, camera="gate", epoch=1, stream=b"a stream"):
    return types.Frame(
        key=types.FrameKey(camera=camera, epoch=epoch, sequence=sequence),
        capture_time=Timestamp(seconds=1_700_000_000, nanos=sequence % 10**9),
        stream=stream,
    )


def digest(text="a picture"):
    return sha256(text.encode()).digest()


async def waiting(spool):
    """Return what waits: a frame as its sequence, a gap as its first and last ones."""
    found = []
    for item in (await spool.pending(0, 1000)).items:
        request = item.request
        if request.HasField("gap"):
            found.append((request.gap.first_sequence, request.gap.last_sequence))
        else:
            found.append(request.frame.key.sequence)
    return found


def frame_key(sequence, camera="gate", epoch=1):
    return FrameKey(camera, epoch, sequence)
