"""The load generator: its schedule, what latency means, and that it runs against real services."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from bench.open_loop import Record, closed_loop, open_loop

ROOT = Path(__file__).parents[2]


async def answered():
    return {"queue": 0.5}


async def refused():
    raise grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata()
    )


async def test_a_late_answer_delays_no_later_call():
    waiting, go_on = [], asyncio.Event()

    async def stuck():
        waiting.append(None)
        if len(waiting) == 20:
            go_on.set()
        await go_on.wait()
        return {}

    # A generator that waited for answers would never make the twentieth call.
    record = await open_loop({"stuck": stuck}, {"stuck": 500.0}, 0.2)
    assert len(record.seconds["stuck"]) == len(waiting) >= 20


async def test_latency_counts_from_the_intended_start():
    record = Record()
    await record.make("call", answered, intended=-1e6, began=0.0)
    assert record.seconds["call"][0] > 1e6
    assert record.stages["call", "queue"] == [0.5]


async def test_refusals_are_counted_by_status_and_have_no_latency():
    record = await open_loop({"no": refused}, {"no": 500.0}, 0.1)
    assert set(record.errors) == {("no", "RESOURCE_EXHAUSTED")}
    assert record.seconds["no"] == []
    ((moment, text),) = record.first_errors.values()
    assert 0 < moment < record.duration
    assert text == "no text"


async def test_the_same_seed_makes_the_same_schedule():
    made = []

    async def run(seed):
        names = []

        def noting(name):
            async def call():
                names.append(name)
                return {}

            return call

        calls = {name: noting(name) for name in "ab"}
        await open_loop(calls, {"a": 300.0, "b": 100.0}, 0.1, seed)
        return names

    made = [sorted(await run(seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


async def test_callers_of_a_closed_loop_wait_for_their_answers(monkeypatch):
    # A millisecond passes whenever somebody looks.
    ticking = SimpleNamespace(perf_counter=count(step=0.001).__next__)
    monkeypatch.setattr("bench.open_loop.time", ticking)
    under_way, most = 0, 0

    async def call():
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return {}

    await closed_loop({"call": call}, {"call": 1.0}, 0.05, callers=3)
    assert most == 3


@pytest.mark.slow
def test_a_short_steady_load_is_answered_without_errors():
    command = (sys.executable, "bench/load.py", "--seconds=1", "--size=64x64")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("Encode", "Decode human", "Decode machine", "p99 ms", "synthesis", "MiB before"):
        assert word in result.stdout
