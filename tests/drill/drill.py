"""The fault drill: cameras stream while everything between them and the store breaks."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np

from tests.drill.ledger import Ledger, Verdict, judge, read_store
from tests.drill.proxy import Link
from tests.drill.services import Service
from tests.fake_codec import FakeCodec
from ugicm.v1.decoder_pb2 import IngestRequest
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm.v1.types_pb2 import Frame
from ugicm.v1.types_pb2 import FrameKey as FrameKeyMessage
from ugicm_client.camera import CameraClient
from ugicm_client.channel import until_serving
from ugicm_client.errors import ServiceError, ServiceRefused
from ugicm_client.retries import Retries
from ugicm_servicekit.backoff import Backoff
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.wire import FrameKey

_EPOCH = 1
_SIDE = 24
_LIMIT_SECONDS = 120.0
_SETTLE_SECONDS = 300.0


@dataclass(frozen=True)
class Plan:
    """What a drill does; the same seed plans the same faults at the same frames.

    Attributes:
        num_frames: of all cameras together, at least: they stream until the last fault is over.
        num_faults: how many faults, spread over the frames; every kind comes up.
        fps: of each camera.
        spool_bytes: small enough to be filled while the link is down.
        spool_full: what the encoder does then, as its setting says it.
        model: a model file, or None for a lossless stand-in without a network that starts at once.
    """

    seed: int = 0
    num_cameras: int = 4
    num_frames: int = 3000
    num_faults: int = 30
    fps: float = 25.0
    spool_bytes: int = 2**18
    spool_full: str = "refuse"
    model: str | None = None


@dataclass
class Report:
    """What happened, and what is in the store at the end."""

    plan: Plan
    num_sent: int = 0
    num_accepted: int = 0
    num_refused: int = 0
    num_reconnects: int = 0
    num_spool_refusals: int = 0
    num_store_refusals: int = 0
    num_encoder_kills: int = 0
    num_decoder_kills: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    verdict: Verdict | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing that was accepted is lost, doubled, altered or out of order."""
        return self.verdict is not None and self.verdict.is_good


class _CountingRetries(Retries):
    """Retries that end up in the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(Backoff(first_seconds=0.1, most_seconds=1.0))
        self._report = report

    async def wait(self, trouble: ServiceError) -> None:
        if isinstance(trouble, ServiceRefused) and trouble.status == "RESOURCE_EXHAUSTED":
            self._report.num_spool_refusals += 1
        else:
            self._report.num_reconnects += 1
        await super().wait(trouble)


class Drill:
    """One run of a plan in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._random = random.Random(plan.seed)
        self._codec = FakeCodec() if plan.model is None else None
        self._ledger = Ledger()
        self._progress = asyncio.Condition()
        self._faults_are_over = False
        self.report = Report(plan)

    async def run(self) -> Report:
        """Stream, break things, wait until the store has everything, and compare."""
        started = time.monotonic()
        async with self._running():
            await self._store_ballast()
            cameras = [
                asyncio.create_task(self._camera(name, num_frames))
                for name, num_frames in zip(self._names, self._shares(), strict=True)
            ]
            faults = asyncio.create_task(self._break_things())
            try:
                await asyncio.gather(*cameras, faults)
                self.report.verdict = await self._settled()
            finally:
                for task in (*cameras, faults):
                    task.cancel()
                await asyncio.wait([*cameras, faults])
        report = self.report
        report.num_accepted = len(self._ledger.accepted)
        report.num_refused = len(self._ledger.refused)
        report.num_store_refusals = self._decoder.count_in_log("refused: RESOURCE_EXHAUSTED")
        report.num_encoder_kills = self._encoder.num_kills
        report.num_decoder_kills = self._decoder.num_kills
        report.seconds = time.monotonic() - started
        return report

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            self._camera_link = await opened.enter_async_context(Link.open())
            self._uplink = await opened.enter_async_context(Link.open())
            models = [] if self._plan.model is None else [f"--models={self._plan.model}"]
            modules = ("tests.encoder.fake_service", "tests.decoder.fake_service")
            if self._plan.model is not None:
                modules = ("ugicm_encoder", "ugicm_decoder")
            self._encoder = Service(
                modules[0],
                [
                    *models,
                    f"--upstream={self._uplink.address}",
                    f"--spool={self._folder / 'spool'}",
                    f"--spool-bytes={self._plan.spool_bytes}",
                    f"--spool-full={self._plan.spool_full}",
                    "--spool-min-free-bytes=0",
                    # Notices a stalled link before the drill ends the stall.
                    "--upstream-seconds=1",
                ],
                self._camera_link,
                self._folder / "encoder.log",
            )
            self._decoder = Service(
                modules[1],
                [*models, f"--store={self._store}", "--min-free-bytes=0"],
                self._uplink,
                self._folder / "decoder.log",
            )
            for service in (self._encoder, self._decoder):
                opened.push_async_callback(service.stop)
                await service.start()
            yield

    async def _store_ballast(self) -> None:
        """Store a large frame, so that the least limit of the store can be hit at once."""
        stream = FakeCodec().encode(
            np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
        )
        frame = Frame(key=FrameKeyMessage(camera="ballast"), stream=stream)
        frame.capture_time.GetCurrentTime()
        async with open_channel(self._uplink.address) as channel:
            await until_serving(channel)
            call = DecoderServiceStub(channel).Ingest(iter([IngestRequest(frame=frame)]))
            async for answer in call:
                assert answer.WhichOneof("outcome") == "result"

    @property
    def _names(self) -> list[str]:
        return [f"camera-{n}" for n in range(self._plan.num_cameras)]

    @property
    def _store(self) -> Path:
        return self._folder / "frames.sqlite3"

    def _shares(self) -> list[int]:
        share, rest = divmod(self._plan.num_frames, self._plan.num_cameras)
        return [share + (n < rest) for n in range(self._plan.num_cameras)]

    async def _camera(self, name: str, num_frames: int) -> None:
        generator = np.random.default_rng([self._plan.seed, *name.encode()])

        async def pictures() -> AsyncIterator[np.ndarray]:
            for sequence in count():
                # At least so many, and as long as there are faults to live through.
                if sequence >= num_frames and self._faults_are_over:
                    return
                pixels = generator.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
                if self._codec is not None:
                    key = FrameKey(name, _EPOCH, sequence)
                    self._ledger.expected[key] = sha256(self._codec.encode(pixels)).digest()
                self.report.num_sent += 1
                yield pixels
                await asyncio.sleep(1 / self._plan.fps)

        async with CameraClient(self._camera_link.address) as client:
            sent_frames = client.stream(
                pictures(), camera=name, epoch=_EPOCH, retries=_CountingRetries(self.report)
            )
            async with aclosing(sent_frames):
                async for sent in sent_frames:
                    self._ledger.note(sent)
                    async with self._progress:
                        self._progress.notify_all()

    async def _break_things(self) -> None:
        """Do one fault after the other, each when so many frames have been answered."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._kill_encoder,
            self._kill_decoder,
            self._kill_both,
            self._reset_uplink,
            self._stall_uplink,
            self._refuse_uplink,
            self._reset_camera_link,
            self._fill_spool,
            self._fill_store,
        ]
        faults = [*kinds, *self._random.choices(kinds, k=self._plan.num_faults)]
        faults = faults[: self._plan.num_faults]
        self._random.shuffle(faults)
        last = int(0.95 * self._plan.num_frames)
        moments = sorted(self._random.sample(range(1, last), len(faults)))
        for moment, fault in zip(moments, faults, strict=True):
            await self._answered(moment)
            self._say(f"{self._num_answered:5d} answered: {fault.__name__.strip('_')}")
            await fault()
        self._faults_are_over = True

    @property
    def _num_answered(self) -> int:
        return len(self._ledger.accepted) + len(self._ledger.refused)

    async def _answered(self, number: int) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: self._num_answered >= number)

    def _moment(self, most_seconds: float = 1.5) -> float:
        return self._random.uniform(0.1, most_seconds)

    async def _kill_encoder(self) -> None:
        await self._encoder.kill()
        await asyncio.sleep(self._moment(0.5))
        await self._encoder.start()

    async def _kill_decoder(self) -> None:
        await self._decoder.kill()
        await asyncio.sleep(self._moment())
        await self._decoder.start()

    async def _kill_both(self) -> None:
        await asyncio.gather(self._encoder.kill(), self._decoder.kill())
        await self._encoder.start()
        await asyncio.sleep(self._moment())
        await self._decoder.start()

    async def _reset_uplink(self) -> None:
        self.report.cuts["reset"] += 1
        await self._uplink.reset()

    async def _reset_camera_link(self) -> None:
        self.report.cuts["reset"] += 1
        await self._camera_link.reset()

    async def _stall_uplink(self) -> None:
        self.report.cuts["stalled"] += 1
        await self._uplink.stall(1.0 + self._moment())

    async def _refuse_uplink(self) -> None:
        self.report.cuts["refused"] += 1
        await self._uplink.refuse()
        await asyncio.sleep(self._moment())
        await self._uplink.accept()

    async def _fill_spool(self) -> None:
        """Keep the link down until the spool is full: cameras are refused, or frames dropped."""
        self.report.cuts["refused"] += 1
        await self._uplink.refuse()
        before = self._num_full()
        await self._until_hit(lambda: self._num_full() > before)
        await self._uplink.accept()

    async def _fill_store(self) -> None:
        """Start the decoder with little room left, until it refuses; then there is room again."""
        before = self._decoder.count_in_log("refused: RESOURCE_EXHAUSTED")
        await self._decoder.kill()
        await self._decoder.start(f"--max-store-bytes={_used_bytes(self._store) + 2**16}")
        await self._until_hit(
            lambda: self._decoder.count_in_log("refused: RESOURCE_EXHAUSTED") > before
        )
        await self._decoder.kill()
        await self._decoder.start()

    def _num_full(self) -> int:
        """Return how often the spool's limit was hit; it only grows while the link is down."""
        if self._plan.spool_full == "refuse":
            return self._encoder.count_in_log("EncodeStream refused: RESOURCE_EXHAUSTED")
        return _ask(
            self._folder / "spool" / "spool.sqlite3",
            "SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) FROM item WHERE kind = 2",
        )

    async def _until_hit(self, limit: Callable[[], bool]) -> None:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await _until(limit)

    async def _settled(self) -> Verdict:
        """Wait until the spool is empty, and judge what the store has."""
        self._say("all answered: waiting until the spool is empty")
        async with open_channel(self._uplink.address) as channel:
            stub = DecoderServiceStub(channel)
            async with asyncio.timeout(_SETTLE_SECONDS):
                await _until(lambda: _spool_bytes(self._folder / "spool") == 0)
                stored = await read_store(stub, self._names)
        return judge(self._ledger, stored)


async def _until(condition: Callable[[], bool]) -> None:
    """Return once something holds that only looking tells."""
    while not condition():  # noqa: ASYNC110 - it lies in another process
        await asyncio.sleep(0.1)


def _used_bytes(store: Path) -> int:
    return _ask(
        store,
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
        "pragma_freelist_count, pragma_page_size",
    )


def _spool_bytes(folder: Path) -> int:
    return _ask(folder / "spool.sqlite3", "SELECT num_bytes FROM spool")


def _ask(path: Path, question: str) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute(question).fetchone()[0])
    finally:
        db.close()
