"""Frames in a stream of NATS JetStream: the servers keep them, and decoders keep nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from hashlib import sha256
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from ugicm_decoder.errors import (
    FrameConflict,
    FrameDamaged,
    FrameNotFound,
    FrameTooLarge,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLost,
)
from ugicm_decoder.metrics import DAMAGED_FRAMES, STORE_BYTES
from ugicm_decoder.store import queries
from ugicm_decoder.store.inserts import is_told, removed_gap, untold
from ugicm_decoder.store.interface import (
    CameraSummary,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    Gap,
    GapReason,
    PutOutcome,
)
from ugicm_decoder.store.jetstream import index, messages
from ugicm_decoder.store.jetstream.index import Index, Known
from ugicm_decoder.store.jetstream.marks import Marks
from ugicm_decoder.store.jetstream.turns import Turns
from ugicm_decoder.store.removals import Doomed
from ugicm_decoder.store.rows import key_columns
from ugicm_servicekit.following import Part, follow, in_background, stored_ns_of
from ugicm_servicekit.jetstream import (
    EXPECTED_LAST,
    NO_ROOM,
    WRONG_LAST,
    NatsSettings,
    connect_to_nats,
    ensure_stream,
    locked_out,
)
from ugicm_servicekit.wire import FrameKey

__all__ = ["JetStreamFrameStore"]

_log = logging.getLogger(__name__)

_CALL_SECONDS = 2.0
# A cluster chooses another leader within 9 s; so long is a frame tried before it is given back.
_PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_UPKEEP_SECONDS = 1.0
# The last part of a frame's time in the stream, in which it is marked; marked again by half of it.
_MARKED_PART = 0.1


class JetStreamFrameStore:
    """A ``FrameStore`` in a stream that any number of decoders share; made by ``open``.

    Each frame has a subject of its own, and is published on the condition that the subject has no
    message: so the servers themselves keep a second one out, whichever decoder brings it and
    however late. What is there without its bytes, each decoder learns by following the stream.

    Positions are the stream's numbers, and the identity is the stream's: a cursor is good for
    every decoder.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        info: StreamInfo,
        opened: AsyncExitStack,
        *,
        retention_seconds: float | None,
        max_bytes: int | None,
        clock_ns: Callable[[], int],
    ) -> None:
        self._client = client
        self._name = name
        self._jetstream = client.jetstream(timeout=_CALL_SECONDS)
        self._opened = opened
        self._retention_seconds = retention_seconds
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._id = sha256(f"{name} {info.created}".encode()).digest()[:8]
        self._index = Index(self._id)
        opened.push_async_callback(self._index.close)
        self._marks = Marks(client, self._jetstream, f"{name}-marks")
        self._turns = Turns(_RETRY_SECONDS)
        # What of the stream the index has, and the last position that this decoder was told.
        self._position = max(0, info.state.first_seq - 1)
        self._acknowledged = self._position
        self._marked = 0
        self._grown = asyncio.Event()
        self._upkept = 0.0
        self._full_until = 0.0
        self._problem = ""
        self._broken = ""

    @classmethod
    async def open(
        cls,
        settings: NatsSettings,
        *,
        retention_seconds: float | None = None,
        max_bytes: int | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> JetStreamFrameStore:
        """Connect, make the stream where there is none, and learn what it has.

        Args:
            settings: where NATS is.
            retention_seconds: how long the servers keep a frame; None: for good.
            max_bytes: of the stream; beyond, the servers remove the oldest frames. None: any.
            clock_ns: nanoseconds since 1970.

        Raises:
            BadSettings: an address or a file cannot be used.
            Unreachable: no server lets us in, or there is no JetStream.
            StoreFailed, StoreLost: the stream cannot be read.
        """
        name = settings.nats_stream
        async with AsyncExitStack() as opened:
            client = await opened.enter_async_context(
                connect_to_nats(settings, name="ugicm-decoder")
            )
            config = StreamConfig(
                name=name,
                subjects=[messages.all_subjects(name)],
                max_age=retention_seconds or 0.0,
                max_bytes=max_bytes or -1,
                num_replicas=settings.nats_replicas,
                allow_direct=True,
            )
            info = await ensure_stream(
                client.jetstream(timeout=_CALL_SECONDS),
                config,
                patience_seconds=settings.nats_start_seconds,
            )
            store = cls(
                client,
                name,
                info,
                opened,
                retention_seconds=retention_seconds,
                max_bytes=max_bytes,
                clock_ns=clock_ns,
            )
            await store._begin(info, settings)
            store._opened = opened.pop_all()
            return store

    @property
    def id(self) -> bytes:
        """8 bytes that tell this stream from every other."""
        return self._id

    @property
    def newest_position(self) -> int:
        """The position of what was stored last, as far as this decoder knows."""
        return max(self._position, self._acknowledged)

    @property
    def max_frame_bytes(self) -> int:
        """The largest stream that the servers' limit on messages lets through."""
        return self._client.max_payload - messages.HEAD_BYTES

    async def put(self, frame: Frame) -> PutOutcome:
        """Return once a majority of the servers has the frame."""
        if len(frame.stream) > self.max_frame_bytes:
            raise FrameTooLarge(
                f"frame {frame.key} has {len(frame.stream)} bytes, and the NATS servers' "
                f"max_payload lets {self.max_frame_bytes} through"
            )
        async with self._turns.of(frame.key.camera, frame.key.epoch):
            known = await self._known(frame)
            if known is not None:
                return known
            subject = messages.frame_subject(self._name, frame.key)
            if await self._publish(subject, frame.stream, messages.frame_headers(frame)):
                return PutOutcome.STORED
            await self.catch_up()
            known = await self._known(frame)
            if known is None:
                raise self._failed(f"frame {frame.key} is stored, and not to be seen yet")
            return known

    async def put_gap(self, gap: Gap) -> PutOutcome:
        """Return once a majority of the servers has the gap."""
        async with self._turns.of(gap.camera, gap.epoch):
            await self.catch_up()
            missing = await self._index.read(lambda db: untold(db, gap))
            if missing is None:
                return PutOutcome.DUPLICATE
            if await self._publish(messages.gap_subject(self._name, missing)):
                return PutOutcome.STORED
            # It may be on its way to a majority, and does not count before.
            await self.catch_up()
            if await self._index.read(lambda db: untold(db, missing)) is not None:
                raise self._failed(f"{missing} is stored, and not to be seen yet")
            return PutOutcome.DUPLICATE

    async def check_room(self) -> None:
        """Return if a small frame could be stored, as far as was seen within the last seconds."""
        self._check_not_lost()
        if self._problem:
            raise self._failed(self._problem)
        if time.monotonic() < self._full_until:
            raise self._full()

    async def get(self, key: FrameKey) -> Frame:
        """Return a frame whose bytes are those that were put; where they are not, say so to all."""
        known = await self._index.read(lambda db: index.select_known(db, key))
        if known is None:
            await self.catch_up()
            known = await self._index.read(lambda db: index.select_known(db, key))
        if known is None:
            removed = await self._index.read(lambda db: removed_gap(db, key_columns(key)))
            why = "" if removed is None else ": retention removed it"
            raise FrameNotFound(f"no frame {key} is stored{why}")
        stream = await self._stream(known)
        if sha256(stream).digest() != known.checksum:
            DAMAGED_FRAMES.inc()
            await self._report_damage(key)
            raise FrameDamaged(f"the stored bytes of frame {key} do not match their checksum")
        return Frame(key, known.record.captured_ns, known.record.info, stream)

    async def cameras(self, *, after: str, limit: int) -> list[CameraSummary]:
        """Return the cameras whose names follow ``after``, by name."""
        await self.catch_up()
        return await self._index.read(lambda db: queries.select_cameras(db, after, limit))

    async def frames(
        self, query: FrameQuery, *, after: FrameKey | None, limit: int
    ) -> list[FrameRecord]:
        """Return the frames that follow ``after`` in the order of the query."""
        await self.catch_up()
        return await self._index.read(lambda db: queries.select_frames(db, query, after, limit))

    async def events(self, position: int, *, cameras: Sequence[str], limit: int) -> Events:
        """Return what was stored behind ``position``; of all cameras where none is named."""
        await self._reach(self._acknowledged)
        return await self._index.read(
            lambda db: queries.select_events(db, position, cameras, limit)
        )

    async def newest_frames(self, position: int, *, cameras: Sequence[str]) -> Events:
        """Return, of each camera, the last frame stored, where that is behind ``position``."""
        await self._reach(self._acknowledged)
        return await self._index.read(
            lambda db: queries.select_newest_frames(db, position, cameras)
        )

    async def wait_beyond(self, position: int) -> None:
        """Return once something is stored behind ``position``."""
        while self._position <= position:
            self._check_not_lost()
            await self._grown.wait()

    async def catch_up(self) -> None:
        """Return once reads see all that any decoder was told to be stored."""
        info = await self._asked()
        await self._reach(info.state.last_seq)

    async def close(self) -> None:
        """Stop following, and release the connection."""
        await self._opened.aclose()

    async def _begin(self, info: StreamInfo, settings: NatsSettings) -> None:
        await self._marks.make(settings)
        await self._index.write(lambda db: index.advance(db, self._position))
        await self._opened.enter_async_context(in_background(self._follow()))
        began = time.monotonic()
        while self._position < info.state.last_seq:
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self.wait_beyond(self._position)
            if time.monotonic() - began > 5:
                began = time.monotonic()
                _log.info(
                    "learning what the stream has: at %d of %d",
                    self._position,
                    info.state.last_seq,
                )
        marks = [mark async for mark in self._marks.read()]
        first, now_ns = info.state.first_seq, self._clock_ns()
        await self._index.write(lambda db: index.add_marks(db, marks, first, now_ns))

    async def _known(self, frame: Frame) -> PutOutcome | None:
        key, checksum = frame.key, sha256(frame.stream).digest()
        known = await self._index.read(lambda db: index.select_known(db, key))
        if known is not None:
            if known.checksum != checksum:
                raise FrameConflict(f"frame {key} is stored already, with other bytes")
            return PutOutcome.DUPLICATE
        removed = await self._index.read(lambda db: removed_gap(db, key_columns(key)))
        return None if removed is None else PutOutcome.DUPLICATE

    async def _publish(
        self, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Return whether it is stored now; False: the subject has a message already.

        Raises:
            StoreFull: the servers have no room.
            StoreFailed: no majority of them took it in time.
            StoreLost: they let us in no longer.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        wanted: dict[str, Any] = {**(headers or {}), EXPECTED_LAST: "0"}
        while True:
            try:
                stored = await self._jetstream.publish(
                    subject, data, stream=self._name, headers=wanted
                )
            except (NatsError, TimeoutError) as error:
                self._check_not_lost()
                code = error.err_code if isinstance(error, APIError) else None
                if code == WRONG_LAST:
                    return False
                if code in NO_ROOM:
                    self._full_until = time.monotonic() + _RETRY_SECONDS
                    raise self._full() from error
                if time.monotonic() > deadline:
                    raise self._failed(f"no majority of the NATS servers: {error!r}") from error
            else:
                self._acknowledged = max(self._acknowledged, stored.seq)
                return True
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _stream(self, known: Known) -> bytes:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                # Any server that has the stream answers; base64 from its leader would be too long.
                message = await self._jetstream.get_msg(self._name, known.position, direct=True)
            except NotFoundError:
                # A server that is behind, or retention.
                if (await self._asked()).state.first_seq > known.position:
                    key = known.record.key
                    raise FrameNotFound(f"no frame {key} is stored: retention removed it") from None
                failure: object = "it is not there"
            except (NatsError, TimeoutError) as error:
                self._check_not_lost()
                failure = error
            else:
                return message.data or b""
            if time.monotonic() > deadline:
                raise self._failed(f"frame {known.record.key} cannot be read: {failure!r}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _report_damage(self, key: FrameKey) -> None:
        gap = Gap(key.camera, key.epoch, key.sequence, key.sequence, GapReason.DAMAGED)
        try:
            if not await self._index.read(lambda db: is_told(db, gap)):
                await self._publish(messages.gap_subject(self._name, gap))
        except StoreError as error:
            _log.warning("cannot record that frame %s is damaged: %s", key, error)

    async def _asked(self) -> StreamInfo:
        """Return what the stream's leader says of it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self._jetstream.stream_info(self._name)
            except (NatsError, TimeoutError) as error:
                self._check_not_lost()
                if time.monotonic() > deadline:
                    raise self._failed(f"no NATS server answers: {error!r}") from error
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _reach(self, position: int) -> None:
        """Return once the index has all up to a position."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.wait_beyond(position - 1)
        except TimeoutError:
            raise self._failed(
                f"the stream is known up to {self._position} only, of {position}"
            ) from None

    async def _follow(self) -> None:
        """Keep the index as the stream is, for as long as the store is open."""
        try:
            await self._keep_index()
        except Exception as error:  # noqa: BLE001 - the outermost layer of a task
            _log.error("the stream is followed no longer", exc_info=error)
            self._broken = "the decoder cannot keep its index of the stream, as its log tells"
            # Who waits for more is told.
            self._grown.set()

    async def _keep_index(self) -> None:
        batches = follow(self._client, self._jetstream, self._name, self._position, Part.HEADERS)
        async with aclosing(batches):
            async for batch in batches:
                if batch:
                    await self._add(batch)
                if time.monotonic() - self._upkept > _UPKEEP_SECONDS:
                    await self._keep_up()
                    self._upkept = time.monotonic()

    async def _add(self, batch: Sequence[Msg]) -> None:
        heads = []
        for message in batch:
            position, stored_ns = message.metadata.sequence.stream, stored_ns_of(message)
            try:
                head = messages.parse(message.subject, message.headers or {}, stored_ns)
            except (ValueError, KeyError, IndexError) as error:
                _log.warning("message %d of %s is not ours: %s", position, self._name, error)
            else:
                heads.append((position, stored_ns, head))
        last = batch[-1].metadata.sequence.stream
        await self._index.write(lambda db: index.add(db, heads, last))
        self._announce(last)

    async def _keep_up(self) -> None:
        """Forget what the servers removed, and mark what they will remove soon."""
        try:
            state = (await self._jetstream.stream_info(self._name)).state
            STORE_BYTES.set(state.bytes)
            await self._forget(state.first_seq)
            await self._mark(state.bytes)
            self._problem = ""
        except (NatsError, TimeoutError) as error:
            self._problem = f"no NATS server answers for the stream {self._name}: {error!r}"

    async def _forget(self, first: int) -> None:
        more = True
        while more:
            now_ns = self._clock_ns()
            removed, more = await self._index.write(
                lambda db: index.remove_before(db, first, now_ns)  # noqa: B023 - used at once
            )
            self._announce(first - 1)
            for camera, epoch in removed:
                await self._merge_mark(camera, epoch, [])

    async def _mark(self, stream_bytes: int) -> None:
        """Mark the oldest tenth, each time that half of it is not."""
        now_ns, part = self._clock_ns(), _MARKED_PART

        def select(part: float) -> Callable[[Any], list[Doomed]]:
            age_ns, most = self._retention_seconds, self._max_bytes
            before = 0 if age_ns is None else now_ns - round((1 - part) * age_ns * 1e9)
            excess = 0 if most is None else stream_bytes - round((1 - part) * most)
            return lambda db: index.select_doomed(
                db, self._marked, stored_before_ns=before, num_bytes=excess
            )

        if not await self._index.read(select(part / 2)):
            return
        doomed = await self._index.read(select(part))
        epochs: dict[tuple[str, int], list[Doomed]] = defaultdict(list)
        for one in doomed:
            epochs[one.camera, one.epoch].append(one)
        for (camera, epoch), soon in epochs.items():
            await self._merge_mark(camera, epoch, soon)
        self._marked = doomed[-1].position

    async def _merge_mark(self, camera: str, epoch: int, soon: Sequence[Doomed]) -> None:
        mark = await self._index.read(lambda db: index.select_mark(db, camera, epoch, soon))
        await self._marks.merge(mark)

    def _check_not_lost(self) -> None:
        why = locked_out(self._client) if self._client.is_closed else self._broken
        if why:
            raise StoreLost(why, retry_after_seconds=_RETRY_SECONDS)

    def _announce(self, position: int) -> None:
        if position > self._position:
            self._position = position
            self._grown.set()
            self._grown = asyncio.Event()

    def _failed(self, message: str) -> StoreFailed:
        return StoreFailed(message, retry_after_seconds=_RETRY_SECONDS)

    def _full(self) -> StoreFull:
        return StoreFull(
            "the NATS servers have no room for the stream", retry_after_seconds=_RETRY_SECONDS
        )
