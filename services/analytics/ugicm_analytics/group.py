"""Share the frames of NATS JetStream with other replicas, and keep each frame's result once.

A durable consumer of the frames' stream gives each frame to one replica, and to another where that
one does not answer. What is found goes to a stream of results, whose servers let a frame's result
in once, whoever brings it; every replica copies that stream into its own store, so that each can be
asked for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import APIError

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2
from ugicm_analytics import errors, metrics
from ugicm_analytics.pictures import Pictures, Seen
from ugicm_analytics.results.interface import Missed, Progress, ResultStore
from ugicm_analytics.settings import AnalyticsSettings, WatchStart
from ugicm_analytics.subscription import Wanted, look
from ugicm_servicekit.errors import Unreachable
from ugicm_servicekit.following import Part, follow, in_background
from ugicm_servicekit.jetstream import (
    EXPECTED_LAST,
    WRONG_LAST,
    camera_from_word,
    connect_to_nats,
    ensure_stream,
)
from ugicm_servicekit.readiness import Problem, Readiness, Severity

__all__ = ["Group", "GroupWatch", "joined"]

_log = logging.getLogger(__name__)

_CALL_SECONDS = 2.0
_FETCH_SECONDS = 0.5
_AGAIN_SECONDS = 1.0
_GAP = "gap"
# Whose result it is, beside a body that has no place for it.
_ANALYZER = "Ugicm-Analyzer"


@dataclass(frozen=True)
class Group:
    """Replicas that share frames, as one of them sees it.

    Attributes:
        client: its connection.
        jetstream: its JetStream.
        name: the group's.
        frames: the name of the stream of frames.
        results: the name of the group's stream of results.
        ack_seconds: how long a replica may be silent about a frame.
        readiness: told while frames cannot be had.
    """

    client: Client
    jetstream: JetStreamContext
    name: str
    frames: str
    results: str
    ack_seconds: float
    readiness: Readiness


@asynccontextmanager
async def joined(
    settings: AnalyticsSettings, readiness: Readiness, store: ResultStore
) -> AsyncIterator[Group]:
    """Join the group of the settings; copies its results into ``store`` until the end.

    Raises:
        BadSettings: an address or a file cannot be used.
        Unreachable: no NATS server lets us in, or there is no JetStream.
    """
    async with connect_to_nats(settings, name="ugicm-analytics") as client:
        jetstream = client.jetstream(timeout=_CALL_SECONDS)
        name = settings.watch_group or ""
        results = f"{settings.nats_stream}-results-{name}"
        config = StreamConfig(
            name=results,
            subjects=[f"{results}.>"],
            max_age=settings.retention_seconds or 0.0,
            max_bytes=settings.max_results_bytes or -1,
            num_replicas=settings.nats_replicas,
        )
        info = await ensure_stream(jetstream, config, patience_seconds=settings.nats_start_seconds)
        group = Group(
            client,
            jetstream,
            name,
            settings.nats_stream,
            results,
            settings.watch_ack_seconds,
            readiness,
        )
        async with in_background(_copy(group, store, str(info.created))):
            yield group


class GroupWatch:
    """One analyzer's share of a group's frames.

    A frame is acknowledged once its result is durable with a majority of the servers. One that
    comes twice is analyzed twice, and its second result is turned away.

    Args:
        wanted: what to watch; its name tells apart the watches of a group.
        group: whom frames are shared with.
        pictures: looks at them.
        stopping: set when it must end.
    """

    def __init__(
        self, wanted: Wanted, group: Group, pictures: Pictures, *, stopping: asyncio.Event
    ) -> None:
        self._wanted = wanted
        self._group = group
        self._pictures = pictures
        self._stopping = stopping
        self._analyzer = wanted.choice.info.name
        self._id = sha256(wanted.name.encode()).hexdigest()[:16]
        self._room = asyncio.Semaphore(wanted.ahead)
        self._under_way: set[asyncio.Task[None]] = set()
        self._problem = ""

    async def run(self) -> None:
        """Take frames until told to stop; what keeps them away is waited for.

        What is under way when this is cancelled is given back, and goes to another replica.
        """
        try:
            while not self._stopping.is_set():
                try:
                    await self._take()
                except (NatsError, TimeoutError) as error:
                    self._interrupted(f"NATS gives no frames: {error!r}")
                    await asyncio.sleep(_AGAIN_SECONDS)
                except Exception as error:  # noqa: BLE001 - the outermost layer of a task
                    self._mistaken(error)
                    await asyncio.sleep(_AGAIN_SECONDS)
            if self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            for task in self._under_way:
                task.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way)
            self._goes_on()

    def _mistaken(self, error: Exception) -> None:
        _log.error("the watch for %s failed", self._analyzer, exc_info=error)
        self._interrupted("by a mistake of this service, which its log describes")

    def _interrupted(self, reason: str) -> None:
        text = f"the watch for {self._analyzer} is interrupted: {reason}"
        if text != self._problem:
            _log.warning("%s", text)
            self._problem = text
        problem = Problem(Severity.DEGRADES, text)
        self._group.readiness.report(f"watch {self._analyzer}", problem)

    def _goes_on(self) -> None:
        if self._problem:
            _log.info("the watch for %s goes on", self._analyzer)
            self._problem = ""
        self._group.readiness.report(f"watch {self._analyzer}", None)

    async def _take(self) -> None:
        group, start = self._group, self._wanted.start
        frames = await group.jetstream.pull_subscribe(
            f"{group.frames}.>",
            durable=f"{group.name}-{self._id}",
            stream=group.frames,
            config=ConsumerConfig(
                deliver_policy=(
                    DeliverPolicy.ALL if start is WatchStart.OLDEST else DeliverPolicy.NEW
                ),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=group.ack_seconds,
                headers_only=True,
            ),
        )
        try:
            await self._hold_to_ack_seconds(frames)
            while not self._stopping.is_set():
                await self._room.acquire()
                try:
                    (message,) = await frames.fetch(1, timeout=_FETCH_SECONDS)
                except TimeoutError:
                    self._room.release()
                    # Says whether there is nothing to fetch, or nobody to fetch it from.
                    await frames.consumer_info()
                    if not self._under_way:
                        self._goes_on()
                except BaseException:
                    self._room.release()
                    raise
                else:
                    task = asyncio.create_task(self._answer(message))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
        finally:
            if not group.client.is_closed:
                await frames.unsubscribe()

    async def _hold_to_ack_seconds(self, frames: JetStreamContext.PullSubscription) -> None:
        """Let a consumer that was made with other settings follow the newest ones."""
        config = (await frames.consumer_info()).config
        seconds = self._group.ack_seconds
        if config.ack_wait != seconds:
            changed = config.evolve(ack_wait=seconds)
            await self._group.jetstream.add_consumer(self._group.frames, changed)

    async def _answer(self, message: Msg) -> None:
        try:
            if message.metadata.num_delivered > 1:
                metrics.REDELIVERED.labels(self._analyzer).inc()
            what = _what(message.subject)
            if what is not None and self._is_wanted(what.camera):
                await self._publish(message.subject, await self._became(what))
            await message.ack()
            lag = time.time() - message.metadata.timestamp.timestamp()
            metrics.WATCH_LAG_SECONDS.labels(self._analyzer).set(lag)
            self._goes_on()
        except (errors.AnalyticsError, NatsError, TimeoutError, Unreachable) as error:
            self._interrupted(str(error) or repr(error))
            await self._give_back(message)
        except Exception as error:  # noqa: BLE001 - the outermost layer of a task
            self._mistaken(error)
            await self._give_back(message)
        except asyncio.CancelledError:
            with suppress(NatsError):
                await message.nak()
            raise
        finally:
            self._room.release()

    async def _give_back(self, message: Msg) -> None:
        # Where this does not arrive either, the frame comes again a little later.
        with suppress(NatsError):
            await message.nak(delay=_AGAIN_SECONDS)
        # In its place, so that no further frames are taken only to be given back.
        await asyncio.sleep(_AGAIN_SECONDS)

    def _is_wanted(self, camera: str) -> bool:
        return not self._wanted.cameras or camera in self._wanted.cameras

    async def _became(self, what: types_pb2.FrameKey | types_pb2.Gap) -> Seen | Missed:
        if isinstance(what, types_pb2.Gap):
            return Missed(self._analyzer, what)
        return await look(self._wanted, self._pictures, what)

    async def _publish(self, subject: str, became: Seen | Missed) -> None:
        """Return once a result is durable; where there was one, that one stays."""
        _, rest = subject.split(".", 1)
        headers = {EXPECTED_LAST: "0", _ANALYZER: self._analyzer}
        try:
            await self._group.jetstream.publish(
                f"{self._group.results}.{self._id}.{rest}",
                _to_wire(became).SerializeToString(),
                stream=self._group.results,
                headers=headers,
            )
        except APIError as error:
            if error.err_code != WRONG_LAST:
                raise


async def _copy(group: Group, store: ResultStore, created: str) -> None:
    """Copy the group's results into a store for good; what keeps them out is waited for."""
    part = f"results of {group.name}"
    while True:
        try:
            await _copy_on(group, store, created, part)
        except Exception as error:  # noqa: BLE001 - the outermost layer of a task
            text = f"results of the group {group.name} are not copied: {error!r}"
            _log.error("%s", text, exc_info=error)
            group.readiness.report(part, Problem(Severity.DEGRADES, text))
        await asyncio.sleep(_AGAIN_SECONDS)


async def _copy_on(group: Group, store: ResultStore, created: str, part: str) -> None:
    """Copy what comes, and go on where the store is."""
    watch = f"group {group.results}"
    cursor = (await store.cursor(watch) or b"").decode()
    before, _, position = cursor.rpartition(" ")
    # Of a stream that was made anew, everything is new.
    begin = int(position) if before == created else 0
    messages = follow(group.client, group.jetstream, group.results, begin, Part.ALL)
    async with aclosing(messages):
        async for batch in messages:
            if not batch:
                continue
            while True:
                try:
                    await _keep(
                        batch, store, lambda at: Progress(watch, f"{created} {at}".encode())
                    )
                except errors.ResultsError as error:
                    _log.warning("results of %s wait: %s", group.results, error)
                    await asyncio.sleep(_AGAIN_SECONDS)
                else:
                    group.readiness.report(part, None)
                    break


async def _keep(
    batch: Sequence[Msg], store: ResultStore, progress_at: Callable[[int], Progress]
) -> None:
    """Keep results; progress never gets ahead of one, and what comes again is recognised."""
    missed: list[tuple[int, Missed]] = []
    puts = []
    for message in batch:
        analyzer = (message.headers or {}).get(_ANALYZER, "")
        try:
            became = pb.WatchResultsResponse.FromString(message.data)
        except DecodeError as error:
            _log.warning("%s is no result: %s", message.subject, error)
            continue
        position = message.metadata.sequence.stream
        match became.WhichOneof("event"):
            case "analysis":
                puts.append(_put(analyzer, became.analysis, store))
            case "failed":
                missed.append((position, Missed(analyzer, became.failed)))
            case "gap":
                missed.append((position, Missed(analyzer, became.gap)))
    await asyncio.gather(*puts)
    for position, one in missed:
        await store.put_missed(one, progress=progress_at(position))
        reason = "failed" if isinstance(one.why, pb.FailedFrame) else "gap"
        metrics.MISSED.labels(one.analyzer, reason).inc()
    await store.advance(progress_at(batch[-1].metadata.sequence.stream))


async def _put(analyzer: str, analysis: pb.Analysis, store: ResultStore) -> None:
    stored = await store.put(analysis)
    metrics.RESULTS.labels(analyzer, "stored" if stored else "known").inc()


def _to_wire(became: Seen | Missed) -> pb.WatchResultsResponse:
    if isinstance(became, Seen):
        return pb.WatchResultsResponse(analysis=became.kept)
    if isinstance(became.why, types_pb2.Gap):
        return pb.WatchResultsResponse(gap=became.why)
    return pb.WatchResultsResponse(failed=became.why)


def _what(subject: str) -> types_pb2.FrameKey | types_pb2.Gap | None:
    """Return what a message of the frames' stream is about; None: it is not ours."""
    try:
        _, camera, epoch, *words = subject.split(".")
        camera = camera_from_word(camera)
        if words[0] == _GAP:
            first, last, reason = map(int, words[1:])
            return types_pb2.Gap(
                camera=camera,
                epoch=int(epoch),
                first_sequence=first,
                last_sequence=last,
                reason=types_pb2.GapReason.ValueType(reason),
            )
        (sequence,) = map(int, words)
        return types_pb2.FrameKey(camera=camera, epoch=int(epoch), sequence=sequence)
    except (ValueError, IndexError):
        return None
