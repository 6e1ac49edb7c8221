"""Watch cameras for one analyzer, by itself and for good, and keep every frame's result once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_analytics import errors, metrics
from ugicm_analytics.analysis import Choice, Patience
from ugicm_analytics.decoder import Decoder
from ugicm_analytics.pictures import Pictures, Seen
from ugicm_analytics.results.interface import Missed, Progress, ResultKey, ResultStore
from ugicm_analytics.results.writes import labels_to_text
from ugicm_analytics.settings import AnalyticsSettings, WatchMode, WatchStart
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analytics.watching import newest_of_each_camera
from ugicm_analytics.wire import cameras_from_wire, choices_from_wire
from ugicm_analyzers.errors import UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.errors import (
    BadRequest,
    BadSettings,
    ServicekitError,
    Stopping,
    Unreachable,
)
from ugicm_servicekit.flow import in_order
from ugicm_servicekit.jetstream import is_name
from ugicm_servicekit.readiness import Problem, Readiness, Severity
from ugicm_servicekit.status import failure_of
from ugicm_servicekit.wire import key_from_wire, nanoseconds_from_wire

__all__ = ["Subscription", "Wanted", "look", "wanted_from_settings"]

_log = logging.getLogger(__name__)

# The longest wait for a decoder that is away. It costs one refused call; what came meanwhile is
# late by as much, and an analyzer with little time to spare stays late for a long time.
_MOST_SECONDS_AWAY = 1.0

_MODES: Mapping[WatchMode, types_pb2.WatchMode.ValueType] = {
    WatchMode.EVERY: types_pb2.WATCH_MODE_EVERY,
    WatchMode.NEWEST: types_pb2.WATCH_MODE_NEWEST,
}
_STARTS: Mapping[WatchStart, types_pb2.WatchStart.ValueType] = {
    WatchStart.OLDEST: types_pb2.WATCH_START_OLDEST,
    WatchStart.NOW: types_pb2.WATCH_START_NOW,
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a subscription watches.

    Attributes:
        choice: the analyzer, and its labels.
        cameras: their names; empty: all.
        view: the view that frames are decoded for.
        mode: what to do where the analyzer is slower than the cameras.
        start: where to begin the first time.
        ahead: how many frames may be under way.
        decode_seconds: how long the decoder may take for one frame.
    """

    choice: Choice
    cameras: tuple[str, ...]
    view: float
    mode: WatchMode
    start: WatchStart
    ahead: int
    decode_seconds: float

    @property
    def name(self) -> str:
        """What its cursor is stored by: other cameras or another view begin anew."""
        cameras = ",".join(sorted(self.cameras)) or "*"
        labels = [labels_to_text(self.choice.labels)] if self.choice.labels else []
        return " ".join([self.choice.info.name, f"{self.view:g}", cameras, *labels])


def wanted_from_settings(
    settings: AnalyticsSettings, analyzers: Mapping[str, Analyzer]
) -> list[Wanted]:
    """Return what the service is told to watch, of each analyzer.

    Raises:
        BadSettings: a camera is no name, an analyzer is not loaded or lacks labels, or nothing
            keeps the results.
    """
    if settings.watch_group is not None:
        _check_group(settings)
    elif settings.nats:
        raise BadSettings(["--nats is where a group's frames are: it needs --watch-group"])
    if not settings.watch:
        return []
    if settings.results_file is None:
        raise BadSettings(["--watch needs a file that keeps the results, see --results"])
    names = settings.watch_analyzers
    options = pb.AnalyzeOptions(
        analyzers=[
            pb.AnalyzerChoice(
                name=name,
                labels=settings.watch_labels
                if name in analyzers and analyzers[name].info.needs_labels
                else (),
            )
            for name in names
        ]
    )
    try:
        choices = choices_from_wire(options, analyzers)
        cameras = () if "*" in settings.watch else cameras_from_wire(settings.watch)
    except (BadRequest, UnknownAnalyzer) as error:
        raise BadSettings([f"--watch: {error}"]) from error
    return [
        Wanted(
            choice=choice,
            cameras=cameras,
            view=settings.watch_view,
            mode=settings.watch_mode,
            start=settings.watch_start,
            ahead=settings.watch_ahead,
            decode_seconds=settings.decode_seconds,
        )
        for choice in choices
    ]


def _check_group(settings: AnalyticsSettings) -> None:
    problems = []
    if not is_name(settings.watch_group or ""):
        problems.append(
            f"--watch-group: a name has letters, digits, '-' and '_', got {settings.watch_group!r}"
        )
    if not settings.nats:
        problems.append("--watch-group needs the NATS servers that keep the frames, see --nats")
    if settings.watch_mode is not WatchMode.EVERY:
        problems.append("--watch-group shares every frame: --watch-mode=newest is not to be had")
    if problems:
        raise BadSettings(problems)


async def look(wanted: Wanted, pictures: Pictures, key: types_pb2.FrameKey) -> Seen | Missed:
    """Return what is found in a stored frame, or why nothing ever will be.

    Raises:
        DecoderDenied, ResultsError, Unreachable: it may go better later.
    """
    name = wanted.choice.info.name
    try:
        return await pictures.frame(
            key_from_wire(key),
            wanted.view,
            [wanted.choice],
            timeout_seconds=wanted.decode_seconds,
            patience=Patience.OUTLAST,
        )
    except (Unreachable, errors.DecoderDenied, errors.ResultsError):
        raise
    except Exception as error:  # noqa: BLE001 - the outermost layer of an item
        failure = failure_of(error, ANALYTICS_STATUS, method=f"watch {name}")
        return Missed(name, pb.FailedFrame(key=key, failure=failure))


class Subscription:
    """One analyzer's own watch: a slow one is late by itself, and holds up no other.

    A frame's result, or why there is none, is stored in one transaction with the cursor behind it.
    So each is stored once, whenever the process ends. Results that are there already, because
    somebody asked for them, are not made again.

    Args:
        wanted: what to watch.
        decoder: tells of frames.
        pictures: looks at them.
        store: keeps results and the cursor.
        readiness: told while the watch is interrupted.
        stopping: set when it must end.
    """

    def __init__(
        self,
        wanted: Wanted,
        decoder: Decoder,
        pictures: Pictures,
        store: ResultStore,
        *,
        readiness: Readiness,
        stopping: asyncio.Event,
    ) -> None:
        self._wanted = wanted
        self._analyzer = wanted.choice.info.name
        self._decoder = decoder
        self._pictures = pictures
        self._store = store
        self._readiness = readiness
        self._stopping = stopping
        self._backoff = Backoff(most_seconds=_MOST_SECONDS_AWAY)
        self._problem = ""
        self._cursor_is_foreign = False

    async def run(self) -> None:
        """Watch until told to stop; what interrupts the watch is waited for."""
        try:
            while True:
                try:
                    await self._follow()
                    self._interrupted("the decoder ended the watch")
                except Stopping:
                    return
                except errors.RequestRefused as error:
                    # It has another store now: what is known of that is not made again.
                    self._cursor_is_foreign = True
                    self._interrupted(str(error))
                except (ServicekitError, errors.AnalyticsError) as error:
                    self._interrupted(str(error))
                except Exception as error:  # noqa: BLE001 - the outermost layer of a task
                    _log.error("the watch for %s failed", self._analyzer, exc_info=error)
                    self._interrupted("by a mistake of this service, which its log describes")
                if await self._stops_within(self._backoff.next_seconds()):
                    return
        finally:
            self._readiness.report(self._part, None)

    @property
    def _part(self) -> str:
        return f"watch {self._analyzer}"

    def _interrupted(self, reason: str) -> None:
        text = f"the watch for {self._analyzer} is interrupted: {reason}"
        if text != self._problem:
            _log.warning("%s", text)
            self._problem = text
        self._readiness.report(self._part, Problem(Severity.DEGRADES, text))

    def _goes_on(self) -> None:
        if self._problem:
            _log.info("the watch for %s goes on", self._analyzer)
            self._problem = ""
        self._readiness.report(self._part, None)

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _follow(self) -> None:
        async with self._decoder.watch(await self._request()) as events:
            self._goes_on()
            is_newest = self._wanted.mode is WatchMode.NEWEST
            chosen = newest_of_each_camera(events) if is_newest else events
            ahead = 1 if is_newest else self._wanted.ahead
            async with aclosing(chosen):
                seen = in_order(chosen, self._see, ahead=ahead, stopping=self._stopping)
                async with aclosing(seen):
                    async for event, what in seen:
                        await self._store_what(event, what)
                        self._cursor_is_foreign = False
                        self._backoff.reset()

    async def _request(self) -> decoder_pb2.WatchFramesRequest:
        wanted = self._wanted
        request = decoder_pb2.WatchFramesRequest(cameras=wanted.cameras, mode=_MODES[wanted.mode])
        cursor = await self._store.cursor(wanted.name)
        if cursor is None:
            request.start = _STARTS[wanted.start]
        elif self._cursor_is_foreign:
            request.start = types_pb2.WATCH_START_OLDEST
        else:
            request.cursor = cursor
        return request

    async def _see(
        self, event: decoder_pb2.WatchFramesResponse
    ) -> tuple[decoder_pb2.WatchFramesResponse, Seen | Missed | None]:
        """Return what became of an event; None where its result is there already.

        Raises:
            DecoderDenied, Unreachable: the watch goes on from its last cursor.
        """
        if event.WhichOneof("event") == "gap":
            return event, Missed(self._analyzer, event.gap)
        wanted, info = self._wanted, self._wanted.choice.info
        try:
            key = key_from_wire(event.frame.key)
        except BadRequest as error:
            failure = failure_of(error, ANALYTICS_STATUS, method=self._part)
            why = pb.FailedFrame(key=event.frame.key, failure=failure)
            return event, Missed(self._analyzer, why)
        known = ResultKey(key, wanted.view, info.name, info.version, wanted.choice.labels)
        if await self._store.has(known):
            return event, None
        return event, await look(wanted, self._pictures, event.frame.key)

    async def _store_what(
        self, event: decoder_pb2.WatchFramesResponse, what: Seen | Missed | None
    ) -> None:
        progress = Progress(self._wanted.name, event.cursor)
        if isinstance(what, Seen):
            await self._pictures.keep(what, progress=progress)
        elif isinstance(what, Missed):
            await self._store.put_missed(what, progress=progress)
            reason = "failed" if isinstance(what.why, pb.FailedFrame) else "gap"
            metrics.MISSED.labels(self._analyzer, reason).inc()
        else:
            await self._store.advance(progress)
            metrics.RESULTS.labels(self._analyzer, "known").inc()
        if event.frame.HasField("store_time"):
            lag = time.time_ns() - nanoseconds_from_wire(event.frame.store_time)
            metrics.WATCH_LAG_SECONDS.labels(self._analyzer).set(lag / 1e9)
