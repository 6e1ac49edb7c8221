"""Wait between the tries to reach a service, and tell a user of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ugicm_client.errors import ServiceError, ServiceRefused, ServiceUnavailable
from ugicm_servicekit.backoff import Backoff

__all__ = ["Retries", "may_pass"]


def _silent(trouble: ServiceError | None) -> None:
    """Tell nobody."""


def may_pass(error: ServiceError) -> bool:
    """Tell whether the same request may be answered otherwise later."""
    if isinstance(error, ServiceRefused):
        return error.status == "UNAVAILABLE" or error.retry_after_seconds is not None
    return isinstance(error, ServiceUnavailable)


class Retries:
    """Tries that come at growing intervals until one succeeds, without end.

    Args:
        backoff: how long to wait.
        changed: called with the reason when tries begin to fail, and with None when one succeeds.
        sleep: waits so many seconds.

    Attributes:
        has_begun: whether a try got as far as to begin, though nothing may have come of it.
    """

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        changed: Callable[[ServiceError | None], None] = _silent,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._changed = changed
        self._sleep = sleep
        self._is_failing = False
        self.has_begun = False

    async def wait(self, trouble: ServiceError) -> None:
        """Return when it is time for the next try."""
        if not self._is_failing:
            self._is_failing = True
            self._changed(trouble)
        hint = trouble.retry_after_seconds if isinstance(trouble, ServiceRefused) else None
        await self._sleep(self._backoff.next_seconds(at_least=hint or 0.0))

    def reset(self) -> None:
        """Begin again with short waits, because something worked."""
        self._backoff.reset()
        if self._is_failing:
            self._is_failing = False
            self._changed(None)
