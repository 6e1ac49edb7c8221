"""Replicas of analytics that share a stream's frames: one result of each frame, known to all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import nats as client
import numpy as np
import pytest

from tests.analytics.analyzers import Brightness
from tests.analytics.harness import FixedDecoder, Refusal, analyzing, decoding
from tests.decoder.store_frames import frame, until
from tests.jetstream.servers import nats_servers, needs_nats, num_messages
from ugicm.v1 import analytics_pb2 as pb
from ugicm_analytics import group, main, metrics
from ugicm_analytics.main import serve
from ugicm_analytics.results import SqliteResultStore
from ugicm_analytics.settings import AnalyticsSettings, WatchMode
from ugicm_decoder.store import Gap, GapReason
from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.jetstream import NatsSettings

pytestmark = needs_nats

NUM_FRAMES = 40


def picture(value):
    return np.full((2, 3, 3), value, np.uint8)


def redeliveries():
    return metrics.REDELIVERED.labels("brightness")._value.get()


async def listed(stub):
    """Return the sequences and scores of all results that a replica knows."""
    found = await stub.ListResults(pb.ListResultsRequest(page_size=1000))
    return {
        one.key.sequence: round(255 * one.results[0].classifications[0].score)
        for one in found.analyses
    }


def member(where, tmp_path, name, settings, **others):
    return analyzing(
        {"brightness": Brightness()},
        decoder=where,
        results=tmp_path / f"{name}.sqlite",
        nats=settings.nats,
        nats_stream=settings.nats_stream,
        watch=("*",),
        watch_group="pipeline",
        **others,
    )


async def test_each_frame_goes_to_one_replica_and_every_replica_knows_every_result(
    jetstream_store, nats_settings, tmp_path
):
    decoder = FixedDecoder({number: picture(number) for number in range(NUM_FRAMES)})
    async with AsyncExitStack() as opened:
        where = await opened.enter_async_context(decoding(decoder))
        stubs = [
            (await opened.enter_async_context(member(where, tmp_path, name, nats_settings)))[0]
            for name in ("first", "second")
        ]
        for number in range(NUM_FRAMES):
            await jetstream_store.put(frame(sequence=number))
        expected = {number: number for number in range(NUM_FRAMES)}

        async def all_know_all():
            return [await listed(stub) for stub in stubs] == [expected, expected]

        await until(all_know_all)
        assert sorted(decoder.decoded) == list(range(NUM_FRAMES))
    # One that comes later has them too, without looking at a frame.
    async with (
        decoding(FixedDecoder({})) as where,
        member(where, tmp_path, "third", nats_settings) as (stub, _),
    ):

        async def knows_all():
            return await listed(stub) == expected

        await until(knows_all)


async def test_a_frame_that_is_not_answered_for_comes_again_and_is_counted(
    jetstream_store, nats_settings, tmp_path
):
    away = Refusal(grpc.StatusCode.PERMISSION_DENIED)
    decoder = FixedDecoder({0: [away, picture(7)], 1: picture(8)})
    before = redeliveries()
    async with (
        decoding(decoder) as where,
        member(where, tmp_path, "one", nats_settings) as (stub, _),
    ):
        for number in range(2):
            await jetstream_store.put(frame(sequence=number))

        async def is_there():
            return await listed(stub) == {0: 7, 1: 8}

        await until(is_there)
    assert redeliveries() == before + 1
    results = f"{nats_settings.nats_stream}-results-pipeline"
    assert await num_messages(nats_settings, results) == 2


async def test_what_a_replica_has_under_way_when_it_stops_goes_to_another_one_at_once(
    jetstream_store, nats_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(main, "_LAST_RESULTS_SECONDS", 0.05)
    stuck = FixedDecoder({0: picture(7)})
    stuck.gate.clear()
    async with (
        decoding(stuck) as where,
        member(where, tmp_path, "first", nats_settings, watch_ack_seconds=600),
    ):
        await jetstream_store.put(frame())
        await stuck.begun.wait()
    async with (
        decoding(FixedDecoder({0: picture(7)})) as where,
        member(where, tmp_path, "second", nats_settings) as (stub, _),
    ):

        async def is_there():
            return await listed(stub) == {0: 7}

        await until(is_there)


async def test_how_long_a_replica_may_be_silent_follows_the_newest_settings(
    jetstream_store, nats_settings, tmp_path
):
    decoder = FixedDecoder({0: picture(7), 1: picture(8)})
    connection = await client.connect(list(nats_settings.nats))
    for number, wanted in enumerate((600, 30)):
        async with (
            decoding(decoder) as where,
            member(where, tmp_path, "one", nats_settings, watch_ack_seconds=wanted) as (stub, _),
        ):
            await jetstream_store.put(frame(sequence=number))

            async def is_there(last=number):
                return last in await listed(stub)

            await until(is_there)
        (consumer,) = [
            one
            for one in await connection.jetstream().consumers_info(nats_settings.nats_stream)
            if one.config.durable_name
        ]
        assert consumer.config.ack_wait == wanted
    await connection.close()
    assert decoder.decoded == [0, 1]


async def test_an_error_that_nobody_foresaw_ends_neither_a_watch_nor_the_copying(
    jetstream_store, nats_settings, tmp_path, monkeypatch, caplog
):
    foreseen = group.look, SqliteResultStore.put
    unforeseen = [RuntimeError("looking"), RuntimeError("copying")]

    async def look(*arguments):
        if len(unforeseen) == 2:
            raise unforeseen.pop(0)
        return await foreseen[0](*arguments)

    async def put(*arguments, **others):
        if unforeseen:
            raise unforeseen.pop(0)
        return await foreseen[1](*arguments, **others)

    monkeypatch.setattr(group, "look", look)
    monkeypatch.setattr(SqliteResultStore, "put", put)
    async with (
        decoding(FixedDecoder({0: picture(7)})) as where,
        member(where, tmp_path, "one", nats_settings) as (stub, _),
    ):
        await jetstream_store.put(frame())

        async def is_there():
            return await listed(stub) == {0: 7}

        await until(is_there)
    assert {"looking", "copying"} <= {
        str(one.exc_info[1]) for one in caplog.records if one.exc_info
    }


async def test_gaps_and_frames_that_cannot_be_analyzed_are_recorded_by_every_replica(
    jetstream_store, nats_settings, tmp_path
):
    decoder = FixedDecoder({0: Refusal(grpc.StatusCode.FAILED_PRECONDITION)})
    async with (
        decoding(decoder) as where,
        member(where, tmp_path, "one", nats_settings) as (stub, _),
    ):
        await jetstream_store.put(frame())
        await jetstream_store.put_gap(Gap("gate", 1, 1, 5, GapReason.SPOOL_FULL))
        seen = []

        async def both_are_told():
            answer = await stub.ListMissed(pb.ListMissedRequest())
            seen[:] = answer.missed
            return len(seen) == 2

        await until(both_are_told)
    assert {one.WhichOneof("why") for one in seen} == {"failed", "gap"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nats": ()}, "--nats"),
        ({"watch_group": "a b"}, "--watch-group"),
        ({"watch_group": None}, "--watch-group"),
        ({"watch_mode": WatchMode.NEWEST}, "newest"),
    ],
)
async def test_groups_that_cannot_be_are_refused(wrong, said):
    fields = {"nats": ("nats://h:1",), "watch": ("*",), "watch_group": "pipeline", **wrong}
    with pytest.raises(BadSettings, match=said):
        await serve(AnalyticsSettings(**fields), None, {"brightness": Brightness()})


async def test_a_replica_that_the_servers_lock_out_cannot_go_on(tmp_path):
    token = tmp_path / "token"
    token.write_text("open-sesame")
    extra = "authorization {{ token: {} }}\n"
    with nats_servers(tmp_path, 31, extra=extra.format("open-sesame")) as servers:
        settings = NatsSettings(nats=servers.addresses)

        async def serve_until_it_stops():
            async with (
                decoding(FixedDecoder({})) as where,
                member(where, tmp_path, "one", settings, nats_token_file=token) as (_, server),
            ):
                servers.reconfigure(31, extra.format("other"))
                async with asyncio.timeout(60):
                    await server.stopping.wait()

        with pytest.raises(Unreachable, match=r"lets us in no longer.*(?i:authorization)"):
            await serve_until_it_stops()
