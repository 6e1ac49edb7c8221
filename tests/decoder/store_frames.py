"""Frames as the store takes them, and ways to look at its file from outside."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ugicm_codec import StreamInfo
from ugicm_decoder.store import Frame, Gap, GapReason
from ugicm_servicekit.wire import FrameKey

NOW_NS = 1_700_000_000_000_000_000
LARGEST = 2**64 - 1


def frame(
    camera: str = "gate",
    sequence: int = 0,
    *,
    epoch: int = 1,
    captured_ns: int = 0,
    stream: bytes = b"bytes",
) -> Frame:
    info = StreamInfo(
        version=1,
        latents_id=b"latents!",
        height=2,
        width=3,
        quality_step=4,
        num_bytes=len(stream),
    )
    return Frame(FrameKey(camera, epoch, sequence), captured_ns, info, stream)


# What the golden stores hold, in the order of storing.
GOLDEN: tuple[Frame | Gap, ...] = (
    *(frame(sequence=n, captured_ns=10 * n, stream=b"stream %d" % n) for n in range(5)),
    Gap("gate", 1, 5, 8, GapReason.SPOOL_FULL),
    frame(sequence=9, captured_ns=90, stream=bytes(range(256)) * 20),
    frame("yard", LARGEST, epoch=LARGEST, captured_ns=-5, stream=b"last"),
)


def change(path: Path, statement: str, *values: Any) -> None:
    """Change the store's file behind its back."""
    with closing(sqlite3.connect(path)) as vandal, vandal:
        vandal.execute(statement, values)


def ask(path: Path, statement: str) -> Any:
    """Return the first value that the store's file answers."""
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute(statement).fetchone()[0]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the store does by itself."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.01)
