"""Let the analyzers that a request chose look at one picture."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ugicm.v1.types_pb2 import Failure
from ugicm_analytics.errors import AnalyzerStuck
from ugicm_analytics.lanes import Lane
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analyzers.protocol import AnalyzerInfo, Findings
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.pictures import Pixels
from ugicm_servicekit.status import failure_of
from ugicm_servicekit.work import Done

__all__ = ["Choice", "Outcome", "Patience", "patiently", "run_analyzers"]

P = ParamSpec("P")
T = TypeVar("T")


class Patience(enum.Enum):
    """What to do where others are first."""

    REFUSE = "refuse"
    # Wait for them.
    WAIT = "wait"
    # Wait for an analyzer that is stuck, too.
    OUTLAST = "outlast"


@dataclass(frozen=True)
class Choice:
    """One analyzer to run.

    Attributes:
        info: which analyzer it is.
        labels: what it shall tell apart; empty unless it needs labels.
        minimum_score: leaves out findings below it.
    """

    info: AnalyzerInfo
    labels: tuple[str, ...]
    minimum_score: float


@dataclass(frozen=True)
class Outcome:
    """What came of one choice.

    Attributes:
        choice: what was asked for.
        findings: of any score, in any order; or why there are none.
        queue_seconds: what it waited.
        seconds: what the analyzer took, for the whole batch.
    """

    choice: Choice
    findings: Findings | Failure
    queue_seconds: float
    seconds: float


async def run_analyzers(
    lanes: Mapping[str, Lane], choices: Sequence[Choice], picture: Pixels, patience: Patience
) -> list[Outcome]:
    """Return what came of each choice; one that fails or is late does not take the others along.

    Raises:
        Overloaded: too many pictures wait for every one of the analyzers.
    """

    def look(choice: Choice) -> Awaitable[Done[Findings]]:
        run = lanes[choice.info.name].look
        if patience is Patience.REFUSE:
            return run(picture, choice.labels)
        if patience is Patience.OUTLAST:
            return patiently(_until_unstuck, run, picture, choice.labels)
        return patiently(run, picture, choice.labels)

    looks = await asyncio.gather(*map(look, choices), return_exceptions=True)
    refusals = [done for done in looks if isinstance(done, Overloaded)]
    if refusals and len(refusals) == len(looks):
        raise refusals[0]
    return [_outcome(choice, done) for choice, done in zip(choices, looks, strict=True)]


async def patiently(work: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Wait wherever others are first: who watches can be late, but misses nothing."""
    backoff = Backoff()
    while True:
        try:
            return await work(*args, **kwargs)
        except Overloaded as error:
            await asyncio.sleep(backoff.next_seconds(at_least=error.retry_after_seconds))


async def _until_unstuck(run: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    while True:
        try:
            return await run(*args, **kwargs)
        except AnalyzerStuck as error:
            await asyncio.sleep(error.retry_after_seconds)


def _outcome(choice: Choice, done: Done[Findings] | BaseException) -> Outcome:
    if isinstance(done, Done):
        return Outcome(choice, done.value, done.queue_seconds, done.run_seconds)
    if not isinstance(done, Exception):
        raise done
    failure = failure_of(done, ANALYTICS_STATUS, method=f"analyzer {choice.info.name}")
    return Outcome(choice, failure, 0.0, 0.0)
