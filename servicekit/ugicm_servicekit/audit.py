"""Write down who was not let in, to what, and why; never a token."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from ugicm_servicekit.calls import Call

__all__ = ["AUDITED", "LOGGER", "AuditLog"]

# By this name the lines can be sent elsewhere.
LOGGER = "ugicm.audit"

_log = logging.getLogger(LOGGER)

AUDITED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})

# Whoever is refused a thousand times a second fills no disk: a line says how many it stands for.
_SECONDS_BETWEEN_LINES = 1.0
_MAX_REMEMBERED = 1024


class AuditLog:
    """One line for each refusal; for those of one caller, host and method at most one a second.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By caller, host and method: when its newest line was written, and how many since.
        self._newest: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def refused(self, call: Call, code: grpc.StatusCode, why: str) -> None:
        """Write down that ``call``, or an item of it, was refused."""
        key = (call.caller, call.peer.rpartition(":")[0], call.method)
        now = self._clock()
        written, unwritten = self._newest.get(key, (-_SECONDS_BETWEEN_LINES, 0))
        if now - written < _SECONDS_BETWEEN_LINES:
            self._newest[key] = (written, unwritten + 1)
            return
        self._newest[key] = (now, 0)
        self._newest.move_to_end(key)
        if len(self._newest) > _MAX_REMEMBERED:
            self._newest.popitem(last=False)
        before = f", and {unwritten} times before" if unwritten else ""
        _log.warning(
            "refused: method=%s caller=%s peer=%s status=%s why=%r%s",
            call.method,
            call.caller or "unknown",
            call.peer,
            code.name,
            why,
            before,
        )
