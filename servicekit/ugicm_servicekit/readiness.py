"""Whether a service is ready for calls, and what stands in the way."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from ugicm_servicekit.metrics import READY

__all__ = ["Problem", "Readiness", "Severity", "State"]


class Severity(enum.Enum):
    """What a problem does to a service."""

    DEGRADES = "degrades"
    BLOCKS = "blocks"


class State(enum.Enum):
    """What calls can expect."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not ready"


@dataclass(frozen=True)
class Problem:
    """Why a service is not what it should be."""

    severity: Severity
    text: str


class Readiness:
    """The problems that a service has now; used on the event loop, read from any thread."""

    def __init__(self) -> None:
        self._problems: Mapping[str, Problem] = {}
        self._changed = asyncio.Event()
        READY.set(1)

    def report(self, name: str, problem: Problem | None) -> None:
        """Say what is wrong with one part of the service, or that nothing is."""
        if self._problems.get(name) == problem:
            return
        problems = {known: one for known, one in self._problems.items() if known != name}
        if problem is not None:
            problems[name] = problem
        self._problems = problems
        READY.set(self.is_ready)
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def state(self) -> State:
        """What calls can expect."""
        severities = {problem.severity for problem in self._problems.values()}
        if Severity.BLOCKS in severities:
            return State.NOT_READY
        return State.DEGRADED if severities else State.READY

    @property
    def is_ready(self) -> bool:
        """Whether calls are welcome."""
        return self.state is not State.NOT_READY

    @property
    def problems(self) -> list[str]:
        """What is wrong, one line for each."""
        return [problem.text for problem in self._problems.values()]

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()
