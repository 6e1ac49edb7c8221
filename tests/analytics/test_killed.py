"""A real process, killed with -9 again and again: every frame's result is there, exactly once."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from tests.analytics.harness import RecordingDecoder, decoding, ready
from tests.analytics.kept import ask, results_of_frames
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1.analytics_pb2_grpc import AnalyticsServiceStub
from ugicm_servicekit.channel import connect

ROOT = Path(__file__).parents[2]
CAMERAS = ("door", "gate", "hall", "yard")
LIVES = 3
FRAMES = 40


@asynccontextmanager
async def living(decoder, results):
    """Run analytics that watches all cameras, until it is killed; yields a stub."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.analytics.watched_process", "--port=0", "--watch=*"),
        *(f"--decoder={decoder}", f"--results={results}"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        address = (await process.stdout.readline()).decode().split()[-1]
        async with connect(address) as channel:
            await ready(channel)
            yield AnalyticsServiceStub(channel)
            process.kill()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_kept(stub, results, count):
    while ask(results, "SELECT count(*) FROM result") < count:
        await stub.ListAnalyzers(pb.ListAnalyzersRequest())


async def test_every_frame_has_one_result_however_often_analytics_is_killed(tmp_path):
    results = tmp_path / "results.sqlite"
    decoder = RecordingDecoder(
        {sequence: np.full((4, 6, 3), sequence, np.uint8) for sequence in range(FRAMES)}
    )
    for sequence in range(FRAMES):
        for camera in CAMERAS:
            decoder.store(sequence, camera)
    every = FRAMES * len(CAMERAS)
    kept = []
    async with decoding(decoder) as address:
        for life in range(LIVES):
            async with living(address, results) as stub:
                await until_kept(stub, results, every if life == LIVES - 1 else (life + 1) * 37)
            kept.append(len(results_of_frames(results)))
    assert kept == sorted(kept)
    assert kept[0] < kept[-1] == every
    assert results_of_frames(results) == {
        (camera, sequence, "brightness"): 1 for camera in CAMERAS for sequence in range(FRAMES)
    }
    assert ask(results, "SELECT cursor FROM watch") == f"store:{every}".encode()
    assert ask(results, "SELECT count(*) FROM missed") == 0
    assert ask(results, "PRAGMA integrity_check") == "ok"
    # Each life began behind what the one before had stored, and made nothing of it again.
    begun = [int(watch.cursor.decode().rpartition(":")[2] or 0) for watch in decoder.watches]
    assert begun[0] == 0
    assert begun[1:] == kept[:-1]
    assert len(decoder.watches) == LIVES
