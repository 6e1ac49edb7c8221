"""Make calls when a schedule says so, whatever became of earlier ones, and count from then."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np

__all__ = ["Call", "Rates", "Record", "closed_loop", "open_loop"]

# Makes one call, and returns the seconds of its stages.
Call = Callable[[], Awaitable[dict[str, float]]]
# How often each call is made, per second.
Rates = dict[str, float]


@dataclass
class Record:
    """What became of calls, by name.

    Attributes:
        seconds: from the intended start to the end of each call that succeeded.
        ended: when it ended, in seconds since the beginning.
        stages: the seconds of each of its stages.
        errors: how often a call ended with each status.
        first_errors: when that happened first, in seconds since the beginning, and the text.
        duration: of the whole, in seconds.
    """

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ended: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    stages: defaultdict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_errors: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    duration: float = 0.0

    def percentile(self, name: str, percent: float) -> float:
        """Return a percentile of a call's latency, in seconds; not a number without any."""
        seconds = self.seconds[name]
        return float(np.percentile(seconds, percent)) if seconds else float("nan")

    @property
    def throughput(self) -> float:
        """Calls that succeeded, per second."""
        return sum(map(len, self.seconds.values())) / self.duration

    async def make(self, name: str, call: Call, intended: float, began: float) -> None:
        """Make one call, and record what became of it."""
        try:
            stages = await call()
        except grpc.aio.AioRpcError as error:
            kind = name, error.code().name
            self.errors[kind] += 1
            self.first_errors.setdefault(
                kind, (time.perf_counter() - began, error.details() or "no text")
            )
            return
        now = time.perf_counter()
        self.seconds[name].append(now - intended)
        self.ended[name].append(now - began)
        for stage, seconds in stages.items():
            self.stages[name, stage].append(seconds)


async def open_loop(calls: dict[str, Call], rates: Rates, seconds: float, seed: int = 0) -> Record:
    """Make calls at random moments (Poisson) of so many seconds, and wait for their ends."""
    record, began = Record(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for moment, name in _arrivals(rates, seconds, random.Random(seed)):
            delay = began + moment - time.perf_counter()
            # Also where it is late: what is late is to be made at once, and others must run.
            await asyncio.sleep(max(0.0, delay))
            group.create_task(record.make(name, calls[name], began + moment, began))
    record.duration = time.perf_counter() - began
    return record


async def closed_loop(
    calls: dict[str, Call], shares: Rates, seconds: float, *, callers: int
) -> Record:
    """Let so many callers each make one call after the other, drawn by their shares."""
    record, began = Record(), time.perf_counter()
    chance = random.Random(0)

    async def caller() -> None:
        while (now := time.perf_counter()) < began + seconds:
            (name,) = chance.choices(list(shares), list(shares.values()))
            await record.make(name, calls[name], now, began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    record.duration = time.perf_counter() - began
    return record


def _arrivals(rates: Rates, seconds: float, chance: random.Random) -> Iterator[tuple[float, str]]:
    """Yield moments and names; each call's gaps are exponential, as of many independent callers."""
    moment, total = 0.0, sum(rates.values())
    while total:
        moment += chance.expovariate(total)
        if moment >= seconds:
            return
        yield moment, chance.choices(list(rates), list(rates.values()))[0]
