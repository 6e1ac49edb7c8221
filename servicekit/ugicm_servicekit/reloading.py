"""Read models, tokens and certificates anew while calls go on: all of them, or nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from ugicm_servicekit.errors import ReloadFailed
from ugicm_servicekit.metrics import RELOADS

__all__ = ["Change", "Kind", "Reloadable", "Reloader", "Use", "changes_between"]

_log = logging.getLogger(__name__)


class Kind(Enum):
    """What can change."""

    MODEL = "model"
    TOKEN = "token"
    CERTIFICATE = "certificate"


@dataclass(frozen=True)
class Change:
    """One thing that is other than it was; what is new was "", and what is gone is."""

    kind: Kind
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}: {self.before or 'none'} -> {self.after or 'none'}"


# Puts in use what was read, at once and without an error.
Use: TypeAlias = Callable[[], list[Change]]


class Reloadable(Protocol):
    """Something that was read from files, and may be again."""

    def read(self) -> Use:
        """Read it anew, in a thread, and change nothing.

        Returns:
            What puts it in use, and tells what changed since the last time that it did, or since
            the start.

        Raises:
            Exception: it cannot be used, and why.
        """


class Reloader:
    """Reads everything, and then puts it in use; one reload at a time."""

    def __init__(self) -> None:
        self._parts: list[Reloadable] = []
        self._lock = asyncio.Lock()

    def add(self, part: Reloadable) -> None:
        """Let ``part`` be read with the others from now on."""
        self._parts.append(part)

    async def reload(self) -> list[Change]:
        """Return what changed, once it is in use.

        Raises:
            ReloadFailed: a part cannot be used; all stays as it was.
        """
        async with self._lock:
            _log.info("reloading")
            try:
                uses = [await asyncio.to_thread(part.read) for part in self._parts]
            except Exception as error:  # whatever it is, calls go on
                RELOADS.labels("failed").inc()
                _log.error("what was loaded before stays: %s", error)
                raise ReloadFailed(f"what was loaded before stays: {error}") from error
            changes = [change for use in uses for change in use()]
            RELOADS.labels("loaded").inc()
            _log.info("reloaded: %s", "; ".join(map(str, changes)) or "nothing changed")
            return changes


def changes_between(
    kind: Kind, before: Mapping[str, str], after: Mapping[str, str]
) -> list[Change]:
    """Return what differs between two states, each a description by name, in order of names."""
    return [
        Change(kind, name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
