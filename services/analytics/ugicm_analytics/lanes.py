"""Give each analyzer a queue, a thread and a deadline of its own: none waits for another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ugicm_analytics import metrics
from ugicm_analytics.errors import AnalyzerLate, AnalyzerStuck, AnalyzerTooSlow
from ugicm_analyzers.protocol import Analyzer, Findings, Pixels
from ugicm_servicekit.admission import Admission
from ugicm_servicekit.batching import Batcher, BatchLimits
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.work import Done

__all__ = ["Lane"]


@dataclass(eq=False)
class _Look:
    """A picture for the analyzer to look at, when it came, and when its batch began."""

    picture: Pixels
    labels: tuple[str, ...]
    came: float
    began: float | None = None


class Lane:
    """One analyzer with all that waits for it; used on one event loop.

    Pictures of one size that wait share a batch, whichever cameras and calls they are of. Threads
    cannot be stopped: an analyzer that has not answered when its time is up is stuck until it
    does, and meanwhile refuses what comes at once instead of letting it wait.

    Args:
        analyzer: ready to look.
        limits: on batches.
        max_queued: how many pictures may wait, as ``Admission`` lets them; one more is refused.
        deadline_seconds: from a picture's arrival to its findings; also for one batch.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        *,
        limits: BatchLimits,
        max_queued: int,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info = analyzer.info
        name = self.info.name
        self._analyzer = analyzer
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        # Written by the thread: when the batch began that it is busy with.
        self._busy_since: float | None = None
        # As many as fill the batch that is computed and, where pictures share one, the next.
        self._admission = Admission(
            places=2 * limits.max_items - 1,
            in_company=limits.max_items,
            max_queued=max_queued,
            name=f"analyzer {name}",
        )
        self._batcher = Batcher[_Look, Findings](
            self._compute,
            limits=limits,
            name="analyze",
            begun=self._begin,
            retried=lambda look: self._begin([look]),
        )
        metrics.STUCK.labels(name).set_function(lambda: self.stuck_seconds is not None)

    @property
    def stuck_seconds(self) -> float | None:
        """How long ago the batch began whose time is up; None while there is none."""
        since = self._busy_since
        if since is None:
            return None
        seconds = self._clock() - since
        return seconds if seconds > self._deadline_seconds else None

    async def look(self, picture: Pixels, labels: tuple[str, ...]) -> Done[Findings]:
        """Return what the analyzer finds in a picture, and how long it waited and took.

        Raises:
            AnalyzerStuck: it is still busy with an earlier one, whose time is up; or the time
                was up of this one, most of which it waited for others.
            AnalyzerTooSlow: its time was up before it answered.
            Exception: whatever else the analyzer raises.
            Overloaded: too many pictures wait for it.
        """
        try:
            done = await self._look(_Look(picture, labels, self._clock()))
        except Exception as error:
            metrics.ANALYZED.labels(self.info.name, _outcome(error)).inc()
            raise
        metrics.ANALYZED.labels(self.info.name, "ok").inc()
        return done

    def close(self) -> None:
        """Wait for the batch that is computed, unless its time is up, and free the thread."""
        if self.stuck_seconds is None:
            self._batcher.close()

    async def _look(self, look: _Look) -> Done[Findings]:
        self._refuse_while_stuck()
        height, width, _ = look.picture.shape
        try:
            async with asyncio.timeout(self._deadline_seconds) as deadline:
                entry = await self._admission.enter()
                try:
                    done = await self._batcher.run(
                        look, bucket=(look.labels, height, width), pixels=height * width
                    )
                finally:
                    self._admission.leave(entry)
        except TimeoutError as error:
            if not deadline.expired():
                raise  # the analyzer's own
            if self._was_held_up(look):
                raise self._stuck() from error
            raise AnalyzerTooSlow(
                f"the analyzer {self.info.name} did not answer within {self._deadline_seconds:g} s"
            ) from error
        self._admission.note(done.run_seconds)
        return Done(done.value, entry.waited_seconds + done.queue_seconds, done.run_seconds)

    def _refuse_while_stuck(self) -> None:
        if self.stuck_seconds is not None:
            raise self._stuck()

    def _was_held_up(self, look: _Look) -> bool:
        """Tell whether others took more of a picture's time than the analyzer had for it."""
        began = look.began
        return began is None or self._clock() - began < began - look.came

    def _stuck(self) -> AnalyzerStuck:
        return AnalyzerStuck(
            f"the analyzer {self.info.name} is busy with pictures that came before, and has not "
            f"answered within {self._deadline_seconds:g} s",
            retry_after_seconds=1.0,
        )

    def _begin(self, looks: Sequence[_Look]) -> None:
        # A batch on the loop, as the thread may be late: nobody else holds it up from here on. One
        # that another picture spoiled was held up by that, and begins anew.
        for look in looks:
            look.began = self._clock()

    def _compute(self, looks: Sequence[_Look]) -> list[Findings]:
        began = self._busy_since = self._clock()
        try:
            pictures = [look.picture for look in looks]
            return self._analyzer.analyze(pictures, looks[0].labels)
        finally:
            self._busy_since = None
            # Here, and not by picture, so that failed and late batches count, and each once.
            metrics.BATCH_PICTURES.labels(self.info.name).observe(len(looks))
            metrics.ANALYZER_SECONDS.labels(self.info.name).observe(self._clock() - began)


def _outcome(error: Exception) -> str:
    if isinstance(error, Overloaded):
        return "refused"
    return "late" if isinstance(error, AnalyzerLate) else "failed"
