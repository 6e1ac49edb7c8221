"""The results store: once, in whole steps, found again, within its limits, and verified."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.analytics.harness import key
from tests.analytics.kept import GOLDEN, NOW_NS, analysis, ask, change, classified, failed
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm_analytics.errors import ResultsFailed, ResultsFull
from ugicm_analytics.results import (
    Missed,
    Progress,
    ResultKey,
    ResultLimits,
    ResultQuery,
    SqliteResultStore,
)
from ugicm_analytics.results.schema import SCHEMA
from ugicm_servicekit.errors import DatabaseUnusable
from ugicm_servicekit.wire import FrameKey

STORES = Path(__file__).parent / "stores"
GAP = types.Gap(camera="gate", epoch=1, first_sequence=3, last_sequence=5, reason=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
async def store(path):
    opened = await SqliteResultStore.open(path, clock_ns=lambda: NOW_NS)
    yield opened
    await opened.close()


async def found(store, after=None, limit=100, **query):
    pictures = await store.pictures(ResultQuery(**query), after=after, limit=limit)
    return [one.analysis for one in pictures]


async def sequences(store, **query):
    return [one.key.sequence for one in await found(store, **query)]


async def put_areas(store, sequences, *, seconds_apart=0):
    """Store results of 6 KB each, in the order of their sequences; some share a commit."""
    area = pb.Segment(label="road", mask=pb.Mask(runs=range(1, 3000)))
    result = pb.AnalyzerResult(analyzer="areas", version="1", segments=[area])
    for some in batched(sequences, 50):
        await asyncio.gather(
            *(
                store.put(analysis(result, sequence=one, seconds=seconds_apart * one))
                for one in some
            )
        )


def batched(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def used_bytes(path):
    used = ask(path, "PRAGMA page_count") - ask(path, "PRAGMA freelist_count")
    return used * ask(path, "PRAGMA page_size")


def without_time(analysis):
    analysis.ClearField("store_time")
    return analysis


async def test_a_repeat_is_recognised_and_changes_nothing(store):
    first = analysis(classified(0.75), classified(0.5, analyzer="others"))
    assert await store.put(first) == {"kinds", "others"}
    again = analysis(classified(0.25), classified(0.5, analyzer="new"))
    assert await store.put(again) == {"new"}
    (kept,) = await found(store)
    assert [(one.analyzer, one.classifications[0].score) for one in kept.results] == [
        ("kinds", 0.75),
        ("new", 0.5),
        ("others", 0.5),
    ]


@pytest.mark.parametrize(
    "other",
    [
        analysis(sequence=1),
        analysis(camera="yard"),
        analysis(view=0.0),
        analysis(classified(0.5, version="2")),
        analysis(pb.AnalyzerResult(analyzer="kinds", version="1", labels=["dog"])),
    ],
)
async def test_another_key_is_another_result(store, other):
    assert await store.put(analysis()) == {"kinds"}
    assert await store.put(other) == {"kinds"}


async def test_a_failure_gives_way_to_a_result_and_not_the_other_way_round(store):
    one = ResultKey(FrameKey("gate", 1, 0), 1.0, "kinds", "1", ())
    await store.put(analysis(failed()))
    assert not await store.has(one)
    assert await store.put(analysis(failed(message="again"))) == set()
    assert await store.put(analysis(classified(0.75))) == {"kinds"}
    assert await store.has(one)
    assert await store.put(analysis(failed())) == set()
    (kept,) = await found(store)
    assert [result.classifications[0].score for result in kept.results] == [0.75]


async def test_results_are_found_by_what_is_asked_for(store):
    await store.put(analysis(classified(0.9), sequence=0, seconds=3))
    await store.put(analysis(classified(0.4, label="dog"), sequence=1, seconds=1))
    await store.put(analysis(classified(0.6, analyzer="others"), sequence=2, seconds=2))
    await store.put(analysis(classified(0.7), sequence=3, camera="yard", seconds=0))
    await store.put(analysis(classified(), sequence=4, seconds=4))
    await store.put(analysis(classified(0.8), sequence=5, seconds=5, view=0.0))
    moment = NOW_NS + 2 * 10**9
    assert await sequences(store) == [3, 1, 2, 0, 4, 5]
    assert await sequences(store, newest_first=True) == [5, 4, 0, 2, 1, 3]
    assert await sequences(store, cameras=("yard", "door")) == [3]
    assert await sequences(store, captured_from_ns=moment) == [2, 0, 4, 5]
    assert await sequences(store, captured_before_ns=moment) == [3, 1]
    assert await sequences(store, analyzers=("others",)) == [2]
    assert await sequences(store, labels=("dog",)) == [1]
    assert await sequences(store, minimum_score=0.7) == [3, 0, 5]
    assert await sequences(store, minimum_score=0.0) == [3, 1, 2, 0, 5]
    assert await sequences(store, view=1.0, minimum_score=0.7) == [3, 0]
    assert await sequences(store, labels=("cat",), minimum_score=0.6, analyzers=("kinds",)) == [
        3,
        0,
        5,
    ]
    assert await sequences(store, labels=("' OR 1 --",)) == []


async def test_what_was_not_asked_for_is_left_out_of_a_picture(store):
    await store.put(analysis(classified(0.9, 0.2), classified(0.3, analyzer="others"), failed("x")))
    (picture,) = await found(store, minimum_score=0.5)
    (result,) = picture.results
    assert [one.score for one in result.classifications] == [0.9]
    (picture,) = await found(store, labels=("cat",))
    assert [len(one.classifications) for one in picture.results] == [2, 1]


async def test_an_area_has_no_score_to_fall_short_of(store):
    area = pb.Segment(label="road", mask=pb.Mask(runs=[0, 24]))
    result = pb.AnalyzerResult(analyzer="areas", version="1", segments=[area])
    await store.put(analysis(result))
    (picture,) = await found(store, minimum_score=1.0, labels=("road",))
    assert picture.results[0].segments == [area]


async def test_pages_go_on_behind_a_picture_also_of_equal_times(store):
    for sequence in range(7):
        await store.put(analysis(sequence=sequence, seconds=sequence // 4))
    query, seen, place = ResultQuery(newest_first=True), [], None
    while page := await store.pictures(query, after=place, limit=2):
        seen += [one.analysis.key.sequence for one in page]
        place = page[-1].place
    assert seen == [6, 5, 4, 3, 2, 1, 0]


async def test_progress_is_stored_with_results_or_not_at_all(store):
    assert await store.cursor("kinds") is None
    await store.put(analysis(), progress=Progress("kinds", b"1"))
    assert await store.cursor("kinds") == b"1"
    timeless = analysis(sequence=1)
    timeless.capture_time.seconds = 2**62
    with pytest.raises(Exception, match="time"):
        await store.put(timeless, progress=Progress("kinds", b"2"))
    assert await store.cursor("kinds") == b"1"
    await store.advance(Progress("kinds", b"3"))
    assert await store.cursor("kinds") == b"3"
    assert await store.cursor("others") is None


async def test_what_was_missed_is_recorded_once_and_a_failure_until_there_is_a_result(store):
    failure = types.Failure(code=15, message="damaged")
    one = Missed("kinds", pb.FailedFrame(key=key(7), failure=failure))
    for missed in (Missed("kinds", GAP), one, one):
        await store.put_missed(missed, progress=Progress("kinds", b"1"))
    records = await store.missed([], after=0, limit=10)
    assert [record.missed for record in records] == [Missed("kinds", GAP), one]
    assert [record.missed for record in await store.missed([], after=records[0].row, limit=9)] == [
        one
    ]
    assert await store.missed(["yard"], after=0, limit=10) == []
    await store.put(analysis(classified(0.5), sequence=7))
    assert [one.missed for one in await store.missed([], after=0, limit=10)] == [
        Missed("kinds", GAP)
    ]


async def test_a_result_whose_bytes_have_changed_is_a_failure_in_its_place(path):
    store = await SqliteResultStore.open(path)
    await store.put(analysis(classified(0.5), classified(0.5, analyzer="others")))
    change(path, "UPDATE result SET body = zeroblob(9) WHERE analyzer = 'kinds'")
    (picture,) = await found(store)
    damaged, whole = picture.results
    assert (damaged.analyzer, damaged.failure.code) == ("kinds", 15)
    assert "checksum" in damaged.failure.message
    assert len(whole.classifications) == 1
    await store.close()


async def test_what_is_too_old_goes_with_all_that_belongs_to_it(path):
    now = 0
    limits = ResultLimits(retention_seconds=10)
    store = await SqliteResultStore.open(path, limits, monotonic=lambda: now)
    await store.put(analysis(classified(0.9), sequence=0))
    await store.put_missed(Missed("kinds", GAP), progress=Progress("kinds", b"1"))
    now += 9
    await store.put(analysis(sequence=1))
    assert await sequences(store) == [0, 1]
    now += 2
    while await sequences(store) != [1] or await store.missed([], after=0, limit=1):
        pass
    assert await store.cursor("kinds") == b"1"
    await store.close()
    assert ask(path, "SELECT count(*) FROM result") == 1
    assert ask(path, "SELECT count(*) FROM finding") == 1


async def test_a_clock_that_jumps_removes_nothing_and_closed_time_counts_once_it_can_be_trusted(
    path,
):
    day, now, wrong_by = 86_400, 0, 0

    def opened():
        return SqliteResultStore.open(
            path,
            ResultLimits(retention_seconds=day),
            clock_ns=lambda: NOW_NS + (now + wrong_by) * 10**9,
            monotonic=lambda: now,
        )

    store = await opened()
    await store.put(analysis(sequence=0))
    wrong_by = 1000 * day
    await store.put(analysis(sequence=1))
    await store.close()
    store, wrong_by = await opened(), 0
    await store.put(analysis(sequence=2))
    assert await sequences(store) == [0, 1, 2]
    await store.close()
    now += 2 * day
    store = await opened()
    await store.put(analysis(sequence=3))
    assert await sequences(store) == [0, 1, 2, 3]
    now += 3600
    while await sequences(store) != [3]:
        pass
    await store.close()


async def test_what_is_too_much_goes_in_the_order_of_storing(path):
    limits = ResultLimits(max_bytes=2**20)
    store = await SqliteResultStore.open(path, limits)
    # Capture times run backwards: what came last stays all the same.
    await put_areas(store, range(400), seconds_apart=-1)
    while used_bytes(path) > 2**20:
        await store.check_room()
    kept = sorted(await sequences(store, limit=1000))
    assert kept == list(range(kept[0], 400))
    # No more goes than is too much: each takes less than 8 KiB.
    assert len(kept) * 8192 > 2**20
    await store.close()


async def test_what_was_missed_goes_in_the_order_of_storing_with_the_results(path):
    store = await SqliteResultStore.open(path, ResultLimits(max_bytes=2**20))
    gap = types.Gap(camera="gate", epoch=1, first_sequence=0, last_sequence=0)
    await store.put_missed(Missed("areas", gap), progress=Progress("areas", b"1"))
    await put_areas(store, range(200))
    gap.first_sequence = gap.last_sequence = 1
    await store.put_missed(Missed("areas", gap), progress=Progress("areas", b"2"))
    await put_areas(store, range(200, 250))
    while used_bytes(path) > 2**20:
        await store.check_room()
    (record,) = await store.missed([], after=0, limit=9)
    assert record.missed.why == gap
    await store.close()


async def test_a_full_disk_takes_nothing_new_and_is_read_on(path):
    free = 10**9
    store = await SqliteResultStore.open(path, disk_free=lambda _: free)
    await store.put(analysis(), progress=Progress("kinds", b"1"))
    free = 1000
    with pytest.raises(ResultsFull, match="1000 bytes free"):
        await store.put(analysis(sequence=1), progress=Progress("kinds", b"2"))
    with pytest.raises(ResultsFull):
        await store.check_room()
    assert (await sequences(store), await store.cursor("kinds")) == ([0], b"1")
    free = 10**9
    await store.put(analysis(sequence=1))
    await store.close()


async def test_a_write_that_the_disk_refuses_leaves_nothing_behind(path):
    store = await SqliteResultStore.open(path)
    await store.put(analysis())
    change(path, "CREATE TRIGGER no BEFORE INSERT ON result BEGIN SELECT raise(ABORT, 'io'); END")
    with pytest.raises(ResultsFull, match="io"):
        await store.put(analysis(sequence=1), progress=Progress("kinds", b"2"))
    assert (await sequences(store), await store.cursor("kinds")) == ([0], None)
    await store.close()
    with pytest.raises(ResultsFailed, match="closed"):
        await store.put(analysis())


async def test_a_file_belongs_to_one_process_and_to_nothing_else(path, store):
    with pytest.raises(DatabaseUnusable, match="has it open"):
        await SqliteResultStore.open(path)
    other = path.with_name("notes.sqlite")
    change(other, "CREATE TABLE note (text)")
    with pytest.raises(DatabaseUnusable, match="not a results store"):
        await SqliteResultStore.open(other)


@pytest.mark.parametrize("golden", sorted(STORES.glob("*.sqlite")), ids=lambda path: path.stem)
async def test_a_store_of_every_release_opens_with_all_it_held(golden, path):
    shutil.copy(golden, path)
    store = await SqliteResultStore.open(path)
    kept = await found(store)
    assert {one.store_time.ToNanoseconds() for one in kept} == {NOW_NS}
    expected = []
    for one in GOLDEN:
        copy = pb.Analysis()
        copy.CopyFrom(one)
        results = sorted(copy.results, key=lambda result: result.analyzer)
        del copy.results[:]
        copy.results.extend(results)
        expected.append(copy)
    assert [without_time(one) for one in kept] == expected
    assert [await store.put(one) for one in GOLDEN] == [set()] * len(GOLDEN)
    assert await store.cursor("kinds") == b"the next"
    gap, failed_frame = [one.missed.why for one in await store.missed([], after=0, limit=9)]
    assert (gap, failed_frame.key.sequence) == (GAP, 6)
    await store.close()
    assert ask(path, "PRAGMA user_version") == SCHEMA.version


async def test_a_store_of_a_newer_version_is_refused_in_one_line(path):
    await (await SqliteResultStore.open(path)).close()
    change(path, "PRAGMA user_version = 1000")
    with pytest.raises(
        DatabaseUnusable, match=f"up to version {SCHEMA.version}, got 1000"
    ) as caught:
        await SqliteResultStore.open(path)
    assert "\n" not in str(caught.value)
