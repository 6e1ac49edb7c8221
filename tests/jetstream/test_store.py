"""A stream as a frame store: shared by decoders, and within its limits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import nats as client
import pytest

from tests.decoder.store_frames import frame, until
from tests.jetstream.servers import nats_servers, needs_nats, num_messages
from ugicm_decoder.cursors import cursor_from_position, position_from_cursor
from ugicm_decoder.errors import (
    FrameConflict,
    FrameDamaged,
    FrameNotFound,
    FrameTooLarge,
    StoreFailed,
    StoreFull,
    StoreLost,
)
from ugicm_decoder.store import FrameQuery, Gap, GapReason, JetStreamFrameStore, PutOutcome
from ugicm_decoder.store.jetstream import store as module
from ugicm_decoder.store.jetstream.marks import Mark, Marks
from ugicm_decoder.store.jetstream.messages import frame_headers, frame_subject
from ugicm_decoder.store.removals import Run
from ugicm_decoder.watching import read_every, watch

pytestmark = needs_nats

STORED, DUPLICATE = PutOutcome.STORED, PutOutcome.DUPLICATE


@asynccontextmanager
async def opened(settings, **limits):
    store = await JetStreamFrameStore.open(settings, **limits)
    try:
        yield store
    finally:
        await store.close()


async def sequences(store, camera="gate"):
    records = await store.frames(FrameQuery(camera), after=None, limit=1000)
    return [record.key.sequence for record in records]


async def fill(store):
    """Store more than 64 KB has room for."""
    for number in range(1, 6):
        await store.put(frame(sequence=number, stream=bytes(30_000)))


async def gaps(store):
    events = await store.events(0, cameras=[], limit=1000)
    return [event.what for event in events.items if isinstance(event.what, Gap)]


async def test_what_one_decoder_stored_any_other_has_under_the_same_cursors(nats_settings):
    async with opened(nats_settings) as first, opened(nats_settings) as second:
        await first.put(frame())
        assert await second.get(frame().key) == frame()
        assert await second.put(frame()) is DUPLICATE
        with pytest.raises(FrameConflict):
            await second.put(frame(stream=b"other"))
        await second.put(frame(sequence=1))
        assert await sequences(first) == [0, 1]
        cursor = cursor_from_position(second, second.newest_position)
        await first.catch_up()
        assert position_from_cursor(first, cursor) == 2


async def test_of_two_decoders_that_store_a_frame_at_once_one_does(nats_settings):
    async with opened(nats_settings) as first, opened(nats_settings) as second:
        frames = [frame(f"camera-{number}") for number in range(50)]
        puts = [store.put(one) for one in frames for store in (first, second)]
        outcomes = await asyncio.gather(*puts)
        for pair in zip(outcomes[::2], outcomes[1::2], strict=True):
            assert set(pair) == {STORED, DUPLICATE}
        assert len(await first.cameras(after="", limit=100)) == 50


async def test_frames_of_an_epoch_are_stored_in_the_order_of_their_coming(nats_settings):
    async with opened(nats_settings) as store:
        await asyncio.gather(*(store.put(frame(sequence=number)) for number in range(100)))
        events = await store.events(0, cameras=[], limit=1000)
        assert [event.what.key.sequence for event in events.items] == list(range(100))


async def test_a_decoder_that_starts_anew_knows_what_the_stream_has(nats_settings):
    gap = Gap("gate.one", 1, 1, 7, GapReason.SPOOL_FULL)
    async with opened(nats_settings) as store:
        await store.put(frame("gate.one"))
        await store.put_gap(gap)
        before = store.id, await store.events(0, cameras=[], limit=9)
    async with opened(nats_settings) as store:
        assert (store.id, await store.events(0, cameras=[], limit=9)) == before
        assert await store.put(frame("gate.one")) is DUPLICATE
        assert await store.put_gap(gap) is DUPLICATE


async def test_what_the_servers_remove_is_told_of_and_stays_known_also_to_a_new_decoder(
    nats_settings,
):
    sent = [frame(sequence=number, stream=bytes([number]) * 8192) for number in range(40)]
    limits = {"max_bytes": 100_000}
    async with opened(nats_settings, **limits) as store:
        for one in sent:
            await store.put(one)

        async def is_forgotten():
            return len(await sequences(store)) == await num_messages(nats_settings)

        await until(is_forgotten)
        left = await sequences(store)
        assert 0 < len(left) < 15
        assert left == list(range(left[0], 40))
        assert await gaps(store) == [Gap("gate", 1, 0, left[0] - 1, GapReason.RETENTION)]
        assert await store.put(sent[0]) is DUPLICATE
        with pytest.raises(FrameNotFound, match="retention removed it"):
            await store.get(sent[0].key)
    async with opened(nats_settings, **limits) as store:
        assert await sequences(store) == left
        assert await gaps(store) == [Gap("gate", 1, 0, left[0] - 1, GapReason.RETENTION)]
        assert await store.put(sent[left[0] - 1]) is DUPLICATE
        assert await store.put(sent[-1]) is DUPLICATE


async def test_frames_go_by_age_and_limits_follow_the_settings(nats_settings):
    async with opened(nats_settings) as store:
        await store.put(frame())
        # A decoder that comes to know the stream after half a second would not know of the frame.
        assert await sequences(store) == [0]
        async with opened(nats_settings, retention_seconds=0.5):

            async def is_gone():
                return await sequences(store) == []

            await until(is_gone)
        assert await store.put(frame()) is DUPLICATE


async def test_changed_bytes_are_damage_that_every_reader_is_told_of_once(nats_settings, nats):
    put = frame(stream=b"as it was")
    async with opened(nats_settings) as store:
        connection = await client.connect(list(nats.addresses))
        subject = frame_subject(nats_settings.nats_stream, put.key)
        await connection.jetstream().publish(subject, b"as it is!", headers=frame_headers(put))
        await connection.close()
        for _ in range(2):
            with pytest.raises(FrameDamaged, match="gate/1/0"):
                await store.get(put.key)
        assert await gaps(store) == [Gap("gate", 1, 0, 0, GapReason.DAMAGED)]


async def test_a_frame_larger_than_the_servers_let_through_is_refused(nats_settings):
    async with opened(nats_settings) as store:
        largest = frame(stream=bytes(store.max_frame_bytes))
        assert await store.put(largest) is STORED
        assert await store.get(largest.key) == largest
        with pytest.raises(FrameTooLarge, match=r"1047553 bytes.*1047552"):
            await store.put(frame(sequence=1, stream=bytes(store.max_frame_bytes + 1)))


@pytest.mark.parametrize(
    "subject",
    ["what.is.this", f"gate.{2**64}.0", "gate.01.0", "ga@te.1.0", f"gate.1.gap.0.{2**64}.1"],
)
async def test_a_message_of_somebody_else_is_left_alone(nats_settings, nats, caplog, subject):
    async with opened(nats_settings) as store:
        connection = await client.connect(list(nats.addresses))
        await connection.jetstream().publish(
            f"{nats_settings.nats_stream}.{subject}", b"?", headers=frame_headers(frame())
        )
        await connection.close()
        await store.put(frame())
        assert await sequences(store) == [0]
    assert "is not ours" in caplog.text


async def test_what_a_server_turns_away_counts_as_stored_once_it_is_to_be_seen(
    nats_settings, monkeypatch
):
    async def turned_away(*_):
        """As by a server that has not heard yet from a majority about the one before."""
        return False

    async with opened(nats_settings) as store:
        monkeypatch.setattr(store, "_publish", turned_away)
        with pytest.raises(StoreFailed, match="not to be seen yet"):
            await store.put(frame())
        with pytest.raises(StoreFailed, match="not to be seen yet"):
            await store.put_gap(Gap("yard", 1, 0, 1, GapReason.SPOOL_FULL))


async def test_who_waits_for_more_is_told_that_the_index_cannot_be_kept(nats_settings, monkeypatch):
    async with opened(nats_settings) as store:

        def full(*_):
            raise StoreFailed("the disk of temporary files is full", retry_after_seconds=1)

        monkeypatch.setattr(module.index, "add", full)
        wanted = {"read": read_every, "cameras": [], "with_streams": False}
        watched = watch(store, 0, **wanted, stopping=asyncio.Event())
        waiting = asyncio.create_task(anext(watched))
        await store.put(frame())
        with pytest.raises(StoreLost, match="as its log tells"):
            await waiting


async def test_servers_that_are_gone_are_waited_for_then_told_of_and_found_again(
    nats_settings, tmp_path, monkeypatch
):
    with nats_servers(tmp_path, 27) as servers:
        async with opened(replace(nats_settings, nats=servers.addresses)) as store:
            await store.put(frame())
            monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
            servers.kill(27)
            with pytest.raises(StoreFailed, match="NATS") as refused:
                await store.put(frame(sequence=1))
            assert refused.value.retry_after_seconds > 0

            async def is_told():
                with suppress(StoreFailed):
                    await store.check_room()
                    return False
                return True

            await until(is_told)
            servers.start(27)

            async def is_taken_and_listed():
                with suppress(StoreFailed):
                    await store.put(frame(sequence=2))
                    return {0, 2} <= set(await sequences(store))
                return False

            await until(is_taken_and_listed)


async def test_marks_are_bounded_by_joining_those_of_the_lowest_numbers(nats_settings, nats):
    connection = await client.connect(list(nats.addresses))
    marks = Marks(connection, connection.jetstream(), f"{nats_settings.nats_stream}-marks")
    await marks.make(nats_settings)
    runs = [Run(first, first, first) for first in range(0, 140, 2)]
    for some in (runs[::2], runs[1::2], runs):
        await marks.merge(Mark("gate.one", 1, tuple(some)))
    (mark,) = [mark async for mark in marks.read()]
    await connection.close()
    assert (mark.camera, mark.epoch, len(mark.runs)) == ("gate.one", 1, 64)
    assert mark.runs[0] == Run(0, 12, 12)
    assert mark.runs[1:] == tuple(runs[7:])


async def test_full_servers_refuse_with_a_hint_and_go_on_reading(nats_settings, tmp_path):
    with nats_servers(tmp_path, 24, max_file="64KB") as servers:
        async with opened(replace(nats_settings, nats=servers.addresses)) as store:
            await store.put(frame(stream=bytes(30_000)))
            with pytest.raises(StoreFull, match="no room") as refused:
                await fill(store)
            assert refused.value.retry_after_seconds > 0
            with pytest.raises(StoreFull):
                await store.check_room()
            assert await store.get(frame().key) == frame(stream=bytes(30_000))
