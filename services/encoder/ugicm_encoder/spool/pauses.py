"""Refuse frames that would overtake an earlier one of their epoch which was told to come again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.wire import FrameKey

__all__ = ["Pauses"]


@dataclass(frozen=True)
class _Pause:
    """From which sequence on, and until when, the frames of an epoch are refused."""

    sequence: int
    until: float


class Pauses:
    """What was refused a moment ago; for any thread.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of_epoch: dict[tuple[str, int], _Pause] = {}
        self._of_all = -inf

    def check(self, key: FrameKey) -> None:
        """Refuse a frame that would overtake another one.

        Raises:
            Overloaded: it would.
        """
        with self._lock:
            pause = self._of_epoch.get((key.camera, key.epoch))
            seconds = self._of_all - self._clock()
        if seconds > 0:
            raise Overloaded(
                "the spool failed a moment ago, and what was refused then comes first",
                retry_after_seconds=seconds,
            )
        if pause is None or key.sequence < pause.sequence:
            return
        seconds = pause.until - self._clock()
        if seconds > 0:
            raise Overloaded(
                f"frame {pause.sequence} of camera {key.camera} was refused a moment ago, "
                "and later ones wait for it",
                # Of one that has no end yet, its sender has yet to hear.
                retry_after_seconds=min(seconds, 1.0),
            )

    def begin(self, key: FrameKey, seconds: float = inf) -> None:
        """Refuse a frame and later ones of its epoch, for some time or until ``end_in``."""
        with self._lock:
            now = self._clock()
            self._of_epoch = {
                epoch: pause for epoch, pause in self._of_epoch.items() if pause.until > now
            }
            epoch = (key.camera, key.epoch)
            pause = self._of_epoch.get(epoch, _Pause(key.sequence, now))
            self._of_epoch[epoch] = _Pause(
                min(pause.sequence, key.sequence), max(pause.until, now + seconds)
            )

    def begin_for_all(self, seconds: float) -> None:
        """Refuse all frames for some time: any of them may be behind one that was refused."""
        with self._lock:
            self._of_all = self._clock() + seconds

    def end_in(self, seconds: float) -> None:
        """Give pauses without an end so much time from now."""
        with self._lock:
            until = self._clock() + seconds
            self._of_epoch = {
                epoch: _Pause(pause.sequence, until) if pause.until == inf else pause
                for epoch, pause in self._of_epoch.items()
            }
