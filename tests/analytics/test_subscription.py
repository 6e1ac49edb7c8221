"""The service's own watch: every frame's result once, whatever comes and goes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness, Broken, Everything
from tests.analytics.harness import (
    MACHINE,
    RecordingDecoder,
    Refusal,
    analyzing,
    decoding,
    key,
)
from tests.analytics.kept import results_of_frames
from tests.analytics.test_lanes import Hanging
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm_analytics.results import SqliteResultStore
from ugicm_analytics.settings import AnalyticsSettings, WatchMode, WatchStart
from ugicm_analytics.subscription import Subscription, wanted_from_settings
from ugicm_servicekit.errors import BadSettings


def grey(level):
    return np.full((4, 6, 3), level, np.uint8)


@pytest.fixture
def decoder():
    return RecordingDecoder({sequence: grey(sequence) for sequence in range(200)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def watching(decoder, path):
    """Analyze what the decoder stores; yields a stub and the server."""

    @asynccontextmanager
    async def run(*analyzers, cameras=("*",), **settings):
        chosen = analyzers or (Brightness(),)
        named = {one.info.name: one for one in chosen}
        async with (
            decoding(decoder) as address,
            analyzing(named, decoder=address, results=path, watch=cameras, **settings) as running,
        ):
            yield running

    return run


async def listed(stub, count, **query):
    """Return the pictures that are kept, once there are so many."""
    while True:
        answer = await stub.ListResults(pb.ListResultsRequest(page_size=1000, **query))
        if len(answer.analyses) >= count:
            return answer.analyses


async def missed(stub, count):
    while True:
        answer = await stub.ListMissed(pb.ListMissedRequest())
        if len(answer.missed) >= count:
            return answer.missed


async def problem(server, words):
    while not any(words in one for one in server.readiness.problems):
        await server.readiness.changed()


async def test_every_frame_of_four_cameras_is_kept_once_as_the_analyzer_sees_it(
    watching, decoder, path
):
    cameras = ("door", "gate", "hall", "yard")
    async with watching() as (stub, _):
        for sequence in range(10):
            for camera in cameras:
                decoder.store(sequence, camera)
        analyses = await listed(stub, 40)
    assert results_of_frames(path) == {
        (camera, sequence, "brightness"): 1 for camera in cameras for sequence in range(10)
    }
    for one in analyses:
        assert one.view == 1.0
        assert one.results[0].classifications[0].score == one.key.sequence / 255


async def test_a_restart_goes_on_where_it_was(watching, decoder, path):
    async with watching() as (stub, _):
        for sequence in range(3):
            decoder.store(sequence)
        await listed(stub, 3)
    for sequence in range(3, 6):
        decoder.store(sequence)
    async with watching() as (stub, _):
        await listed(stub, 6)
    assert decoder.watches[0].start == types.WATCH_START_OLDEST
    assert decoder.watches[-1].cursor == b"store:3"
    assert sorted(decoder.decoded) == [0, 1, 2, 3, 4, 5]
    assert set(results_of_frames(path).values()) == {1}


async def test_what_somebody_asked_for_before_is_not_made_again(watching, decoder, path):
    async with watching(cameras=()) as (stub, _):
        options = pb.AnalyzeOptions(view=MACHINE)
        for _ in range(2):
            await stub.Analyze(pb.AnalyzeRequest(key=key(1), options=options))
        assert len(await listed(stub, 1)) == 1
    for sequence in range(3):
        decoder.store(sequence)
    async with watching() as (stub, _):
        await listed(stub, 3)
    assert sorted(decoder.decoded) == [0, 1, 1, 2]
    assert set(results_of_frames(path).values()) == {1}


async def test_a_frame_that_cannot_be_decoded_and_a_gap_are_recorded_and_the_watch_goes_on(
    watching, decoder
):
    decoder.pictures[1] = Refusal(grpc.StatusCode.DATA_LOSS, "a checksum is wrong")
    async with watching() as (stub, _):
        decoder.store(0)
        decoder.store(1)
        decoder.store_gap(2, 4)
        decoder.store(5)
        assert [one.key.sequence for one in await listed(stub, 2)] == [0, 5]
        failed, gap = await missed(stub, 2)
        assert (failed.analyzer, failed.failed.key) == ("brightness", key(1))
        assert failed.failed.failure.code == grpc.StatusCode.DATA_LOSS.value[0]
        assert failed.failed.failure.message == "a checksum is wrong"
        assert (gap.gap.first_sequence, gap.gap.last_sequence) == (2, 4)
        # It is to be had after all, to whoever asks.
        decoder.pictures[1] = grey(1)
        options = pb.AnalyzeOptions(view=MACHINE)
        await stub.Analyze(pb.AnalyzeRequest(key=key(1), options=options))
        assert [one.WhichOneof("why") for one in await missed(stub, 1)] == ["gap"]


async def test_a_decoder_that_is_away_is_waited_for(watching, decoder, path):
    async with watching() as (stub, server):
        decoder.store(0)
        await listed(stub, 1)
        decoder.here.clear()
        decoder.leaving.set()
        await problem(server, "watch for brightness is interrupted")
        assert server.readiness.is_ready
        decoder.store(1)
        decoder.leaving.clear()
        decoder.here.set()
        await listed(stub, 2)
        assert not any("interrupted" in one for one in server.readiness.problems)
    assert results_of_frames(path) == {("gate", 0, "brightness"): 1, ("gate", 1, "brightness"): 1}


async def test_a_decoder_that_was_away_for_long_is_watched_again_within_a_second(
    watching, decoder, monkeypatch
):
    waits = []

    async def passed(self, seconds):
        waits.append(seconds)
        await asyncio.sleep(0)
        return self._stopping.is_set()

    monkeypatch.setattr(Subscription, "_stops_within", passed)
    decoder.here.clear()
    async with watching() as (stub, _):
        while len(waits) < 20:
            await stub.ListAnalyzers(pb.ListAnalyzersRequest())
        decoder.here.set()
        decoder.store(0)
        await listed(stub, 1)
    assert max(waits) <= 1.0


async def test_a_mistake_of_ours_interrupts_a_watch_and_does_not_end_it(
    watching, decoder, monkeypatch, caplog
):
    cursor = SqliteResultStore.cursor
    is_mistaken = True

    async def mistaken(self, watch):
        if is_mistaken:
            raise RuntimeError("a mistake")
        return await cursor(self, watch)

    monkeypatch.setattr(SqliteResultStore, "cursor", mistaken)
    decoder.store(0)
    async with watching() as (stub, server):
        await problem(server, "by a mistake of this service")
        is_mistaken = False
        await listed(stub, 1)
        assert not any("interrupted" in one for one in server.readiness.problems)
    assert "RuntimeError: a mistake" in caplog.text


async def test_an_outage_is_told_once_at_its_beginning_and_once_at_its_end(
    watching, decoder, caplog
):
    caplog.set_level("INFO", "ugicm_analytics.subscription")
    decoder.store(0)
    async with watching() as (stub, _):
        await listed(stub, 1)
        decoder.here.clear()
        decoder.leaving.set()
        while len(decoder.watches) < 4:
            await listed(stub, 1)
        decoder.leaving.clear()
        decoder.here.set()
        decoder.store(1)
        await listed(stub, 2)
    told = [one.getMessage() for one in caplog.records if "brightness" in one.getMessage()]
    assert [text.partition(":")[0] for text in told] == [
        "the watch for brightness is interrupted",
        "the watch for brightness goes on",
    ]


async def test_a_decoder_with_another_store_is_watched_from_its_beginning(watching, decoder, path):
    async with watching() as (stub, _):
        decoder.store(0)
        await listed(stub, 1)
    decoder.name = "another"
    decoder.store(1)
    async with watching() as (stub, _):
        await listed(stub, 2)
    assert decoder.watches[-1].start == types.WATCH_START_OLDEST
    assert decoder.decoded == [0, 1]


async def test_only_the_cameras_that_are_named_are_watched(watching, decoder, path):
    async with watching(cameras=("gate", "yard")) as (stub, _):
        for camera in ("gate", "door", "yard"):
            decoder.store(0, camera)
        await listed(stub, 2)
        for camera in ("gate", "yard"):
            (one,) = await listed(stub, 1, cameras=[camera])
            assert one.key.camera == camera
        assert not await listed(stub, 0, cameras=["door"])


async def test_a_stuck_analyzer_is_late_by_itself_and_misses_nothing(watching, decoder, path):
    hanging = Hanging()
    async with watching(Brightness(), hanging, Broken(), analyze_seconds=1, watch_ahead=2) as (
        stub,
        server,
    ):
        for sequence in range(8):
            decoder.store(sequence)
        await listed(stub, 8, analyzers=["brightness"])
        await listed(stub, 8, analyzers=["broken"])
        # Its failure may be among what is kept by now, but nothing that it found.
        assert not await listed(stub, 0, analyzers=["hanging"], minimum_score=0.0)
        await problem(server, "hanging")
        hanging.let_go.set()
        await listed(stub, 8, analyzers=["hanging"])
    kept = results_of_frames(path)
    assert kept == {
        ("gate", sequence, name): 1
        for sequence in range(8)
        for name in ("brightness", "broken", "hanging")
    }


async def test_a_store_without_room_is_waited_for(watching, decoder, path, monkeypatch):
    free = 0
    monkeypatch.setattr(
        "ugicm_analytics.results.sqlite.shutil.disk_usage",
        lambda _: type("Usage", (), {"free": free}),
    )
    async with watching() as (stub, server):
        decoder.store(0)
        await problem(server, "no room for new results")
        await problem(server, "watch for brightness is interrupted")
        options = pb.AnalyzeOptions(view=MACHINE)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Analyze(pb.AnalyzeRequest(key=key(0), options=options))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "no room: 0 bytes free" in caught.value.details()
        free = 10**12
        await listed(stub, 1)
    assert set(results_of_frames(path).values()) == {1}


async def test_the_newest_frames_may_be_all_that_is_wanted(watching, decoder):
    settings = {"watch_mode": WatchMode.NEWEST, "watch_start": WatchStart.NOW}
    async with watching(**settings) as (stub, _):
        while not decoder.watches:
            await stub.ListAnalyzers(pb.ListAnalyzersRequest())
        decoder.store(0)
        await listed(stub, 1)
    assert decoder.watches[0].mode == types.WATCH_MODE_NEWEST
    assert decoder.watches[0].start == types.WATCH_START_NOW


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"watch": ("*",), "watch_analyzers": ("dogs",)}, "'dogs'; there are brightness"),
        ({"watch": ("no camera",)}, "a camera's name"),
        ({"watch": ("*",), "watch_analyzers": ("everything",)}, "needs labels"),
        ({"watch": ("*",), "results": ""}, "--results"),
    ],
)
def test_what_cannot_be_watched_is_named_at_the_start(settings, words):
    analyzers = {one.info.name: one for one in (Brightness(), Everything())}
    results = Path(settings.pop("results", "results.sqlite"))
    with pytest.raises(BadSettings, match=words):
        wanted_from_settings(AnalyticsSettings(results=results, **settings), analyzers)


def test_labels_are_for_the_analyzers_that_need_them():
    analyzers = {one.info.name: one for one in (Brightness(), Everything())}
    settings = AnalyticsSettings(
        watch=("*",), watch_analyzers=("brightness", "everything"), watch_labels=("cat", "dog")
    )
    brightness, everything = wanted_from_settings(settings, analyzers)
    assert (brightness.choice.labels, everything.choice.labels) == ((), ("cat", "dog"))
    assert len({brightness.name, everything.name}) == 2


def test_watches_for_other_labels_have_cursors_of_their_own():
    analyzers = {"everything": Everything()}
    names = set()
    for labels in (("traffic light",), ("traffic", "light"), ("light", "traffic")):
        settings = AnalyticsSettings(
            watch=("*",), watch_analyzers=("everything",), watch_labels=labels
        )
        (wanted,) = wanted_from_settings(settings, analyzers)
        names.add(wanted.name)
    assert len(names) == 3
