"""Put frames of several cameras until killed, and tell of each once it is acknowledged.

``python store_writer.py FILE BEGIN CAMERA_BYTES``: every camera's frames from BEGIN on.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.decoder.store_frames import frame
from ugicm_decoder.store import Frame, PutOutcome, SqliteFrameStore, StoreLimits

CAMERAS = ("gate", "yard", "door")
AT_ONCE = 8


def numbered(camera: str, sequence: int) -> Frame:
    """Return the only frame that has this key: its bytes say which it is."""
    text = f"{camera} {sequence} ".encode()
    return frame(camera, sequence, stream=text * (1 + sequence * 37 % 400))


async def write(path: Path, begin: int, camera_bytes: int) -> None:
    store = await SqliteFrameStore.open(path, StoreLimits(retention_camera_bytes=camera_bytes))

    async def put(camera: str, sequence: int) -> None:
        outcome = await store.put(numbered(camera, sequence))
        new = int(outcome is PutOutcome.STORED)
        print(camera, sequence, new, flush=True)

    async def stream(camera: str) -> None:
        sequence = begin
        while True:
            await asyncio.gather(*(put(camera, sequence + ahead) for ahead in range(AT_ONCE)))
            sequence += AT_ONCE

    await asyncio.gather(*map(stream, CAMERAS))


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
