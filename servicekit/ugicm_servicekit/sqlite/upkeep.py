"""Do what is due between commits, a bounded step at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["Upkeep"]

_log = logging.getLogger(__name__)

# How often it is looked whether something is due.
_SECONDS = 0.1


class Upkeep:
    """When the next step is; used by the thread that writes only.

    Args:
        do_part: does the next part of what is due, some 20 ms at the most: commits wait for it.
            Returns False once nothing more is due.
        what: is kept up, for the log.
    """

    def __init__(self, do_part: Callable[[], bool], *, what: str) -> None:
        self._do_part = do_part
        self._what = what
        self._next_look = 0.0
        self._fails = False

    def seconds_to_next(self) -> float:
        """Return how long nothing is due; 0 where the next step is."""
        return max(0.0, self._next_look - time.monotonic())

    def step(self) -> None:
        """Do the next part of what is due, if it is time to look whether anything is.

        A step that fails is logged, the first of several, and tried again.
        """
        if self.seconds_to_next():
            return
        try:
            more = self._do_part()
            self._fails = False
        except Exception:  # noqa: BLE001 - a part of the outermost layer of a thread
            if not self._fails:
                _log.exception("the %s's upkeep failed; it is tried again and again", self._what)
            self._fails = True
            more = False
        self._next_look = 0.0 if more else time.monotonic() + _SECONDS
