"""A real process, killed with -9 again and again: what it acknowledged is there, exactly once."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.decoder.harness import ROOT
from tests.decoder.store_frames import ask
from tests.decoder.store_writer import AT_ONCE, CAMERAS, numbered
from ugicm_decoder.errors import FrameNotFound
from ugicm_decoder.store import FrameRecord, Gap, GapReason, PutOutcome, SqliteFrameStore
from ugicm_servicekit.wire import FrameKey

KEEPS_ALL, KEEPS_LITTLE = 10**12, 300_000
LIVES = 6


async def killed_after(lines: int, path: Path, begin: int, camera_bytes: int) -> list[str]:
    """Return what a writer told until it was killed, a whole line at a time."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.decoder.store_writer"),
        *(str(path), str(begin), str(camera_bytes)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    told += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return [line.decode() for line in told if line.endswith(b"\n")]


async def lives(path: Path, camera_bytes: int) -> tuple[set[FrameKey], Counter[FrameKey]]:
    """Return the keys that were acknowledged, and how often each was stored anew."""
    chance = random.Random(5)
    acknowledged: set[FrameKey] = set()
    stored: Counter[FrameKey] = Counter()
    begin = 0
    for _ in range(LIVES):
        lines = await killed_after(chance.randrange(50, 700), path, begin, camera_bytes)
        assert len(lines) >= 50
        newest = 0
        for line in lines:
            camera, sequence, new = line.split()
            key = FrameKey(camera, 1, int(sequence))
            acknowledged.add(key)
            stored[key] += int(new)
            newest = max(newest, key.sequence)
        # The next life sends some again that were acknowledged, and all that were not.
        begin = max(0, newest - 5 * AT_ONCE)
    return acknowledged, stored


@pytest.mark.parametrize("camera_bytes", [KEEPS_ALL, KEEPS_LITTLE])
async def test_all_that_was_acknowledged_is_there_once_with_the_right_bytes(
    tmp_path: Path, camera_bytes: int
) -> None:
    path = tmp_path / "frames.sqlite"
    acknowledged, stored = await lives(path, camera_bytes)
    assert max(stored.values()) == 1
    assert ask(path, "PRAGMA integrity_check") == "ok"

    store = await SqliteFrameStore.open(path)
    events = (await store.events(0, cameras=[], limit=10**6)).items
    frames = [event.what.key for event in events if isinstance(event.what, FrameRecord)]
    gaps = [event.what for event in events if isinstance(event.what, Gap)]
    assert max(Counter(frames).values()) == 1
    for camera in CAMERAS:
        of_camera = [key for key in frames if key.camera == camera]
        assert of_camera == sorted(of_camera)
    for key in acknowledged:
        removed = any(
            gap.camera == key.camera and gap.first_sequence <= key.sequence <= gap.last_sequence
            for gap in gaps
        )
        if removed:
            with pytest.raises(FrameNotFound):
                await store.get(key)
        else:
            assert (await store.get(key)) == numbered(key.camera, key.sequence)
        assert await store.put(numbered(key.camera, key.sequence)) is PutOutcome.DUPLICATE
    assert {gap.reason for gap in gaps} <= {GapReason.RETENTION}
    assert bool(gaps) is (camera_bytes == KEEPS_LITTLE)
    await store.close()
