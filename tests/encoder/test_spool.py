"""What a spool accepts, keeps, recognises and gives up."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from tests.encoder.spools import Clock, digest, frame, frame_key, spooling, waiting
from ugicm.v1 import types_pb2
from ugicm_encoder.errors import FrameLate, FrameTaken, FrameTooLarge, SpoolFailed, SpoolUnusable
from ugicm_encoder.spool import Acceptance, SpoolFull, SqliteSpool
from ugicm_servicekit.errors import Overloaded

MAX_UINT64 = 2**64 - 1


async def put(spool, *sequences, **fields):
    return [await spool.put(frame(number, **fields), digest()) for number in sequences]


async def test_frames_wait_in_the_order_of_their_acceptance_as_they_were_put(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 3, 7)
        await put(spool, 0, camera="yard")
        await put(spool, 8)
        assert await waiting(spool) == [3, 7, 0, 8]
        items = (await spool.pending(0, 1000)).items
    assert items[1].request.frame == frame(7)
    assert [item.position for item in items] == [1, 2, 3, 4]


async def test_what_was_accepted_is_there_when_the_spool_is_opened_again(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 1, 2)
        usage = spool.usage
    async with spooling(tmp_path) as spool:
        assert await waiting(spool) == [1, 2]
        assert spool.usage == usage
        assert usage.num_items == 2
        await spool.remove([1, 2])
        assert (spool.usage.num_items, spool.usage.num_bytes) == (0, 0)


async def test_what_was_removed_does_not_come_back_and_is_still_recognised(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 1, 2)
        await spool.remove([1, 2])
    async with spooling(tmp_path) as spool:
        assert await waiting(spool) == []
        assert await spool.recognise(frame_key(2), digest())
        assert await put(spool, 1, 2) == [Acceptance.DUPLICATE] * 2
        assert await waiting(spool) == []
        assert await put(spool, 3) == [Acceptance.SPOOLED]
        # A position is never used twice.
        assert (await spool.pending(0, 9)).items[0].position == 3


async def test_another_picture_under_an_accepted_key_is_refused(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 1)
        for call in (
            spool.put(frame(1), digest("other")),
            spool.recognise(frame_key(1), digest("other")),
        ):
            with pytest.raises(FrameTaken, match="gate/1/1"):
                await call
        assert await waiting(spool) == [1]


async def test_a_frame_behind_a_later_one_of_its_epoch_is_refused(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 5)
        with pytest.raises(FrameLate, match=r"gate/1/4 .* frame 5"):
            await put(spool, 4)
        assert await put(spool, 0, epoch=2) == [Acceptance.SPOOLED]
        assert await put(spool, 0, camera="yard") == [Acceptance.SPOOLED]
        assert await waiting(spool) == [5, 0, 0]


async def test_only_so_many_accepted_frames_are_told_from_others(tmp_path):
    async with spooling(tmp_path, remembered=3) as spool:
        await put(spool, *range(5))
        await spool.remove(range(1, 6))
        for known in (2, 3, 4):
            assert await spool.recognise(frame_key(known), digest())
        with pytest.raises(FrameLate, match="more than 3 frames ago"):
            await spool.recognise(frame_key(1), digest())


async def test_marks_of_long_ago_are_forgotten(tmp_path):
    async with spooling(tmp_path, remembered=2) as spool:
        await put(spool, 9, camera="old")
        await put(spool, *range(40))
        assert not await spool.recognise(frame_key(0, camera="old"), digest())
        with pytest.raises(FrameLate):
            await spool.recognise(frame_key(0), digest())


async def test_the_largest_keys_are_kept(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, MAX_UINT64 - 1, MAX_UINT64, epoch=MAX_UINT64)
        assert await waiting(spool) == [MAX_UINT64 - 1, MAX_UINT64]
        assert await spool.recognise(frame_key(MAX_UINT64, epoch=MAX_UINT64), digest())


async def test_frames_put_together_share_a_commit(tmp_path, monkeypatch):
    commits = []
    publish = SqliteSpool._publish
    monkeypatch.setattr(
        SqliteSpool, "_publish", lambda self, s: commits.append(1) or publish(self, s)
    )
    async with spooling(tmp_path) as spool:
        await asyncio.gather(*[spool.put(frame(number), digest()) for number in range(100)])
        assert await waiting(spool) == list(range(100))
    assert len(commits) < 20


async def test_pages_follow_each_other(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, 1, 2, 3)
        first = await spool.pending(0, 2)
        second = await spool.pending(first.position, 2)
        third = await spool.pending(second.position, 2)
        pages = [[item.position for item in page.items] for page in (first, second, third)]
        assert pages == [[1, 2], [3], []]
        growing = asyncio.create_task(spool.wait_beyond(third.position))
        await spool.remove([1, 2, 3])
        assert not growing.done()
        await put(spool, 4)
        async with asyncio.timeout(10):
            await growing


def room_for(number):
    """Return the bytes of so many frames of a kilobyte."""
    return {"max_bytes": number * 1100}


STREAM = b"x" * 1024


async def test_a_full_spool_refuses_and_says_when_to_come_back(tmp_path):
    async with spooling(tmp_path, **room_for(2)) as spool:
        await put(spool, 0, 1, stream=STREAM)
        with pytest.raises(Overloaded, match="at most 2200 bytes") as caught:
            await put(spool, 2, stream=STREAM)
        assert caught.value.retry_after_seconds == 1.0
        assert await waiting(spool) == [0, 1]
        assert await put(spool, 1, stream=STREAM) == [Acceptance.DUPLICATE]


async def test_frames_on_their_way_do_not_overtake_one_that_found_no_room(tmp_path):
    clock = Clock()
    async with spooling(tmp_path, **room_for(2), clock=clock) as spool:
        await put(spool, 0, 1, stream=STREAM)
        with pytest.raises(Overloaded):
            await put(spool, 2, stream=STREAM)
        clock.now += 0.75
        await spool.remove([1])
        for call in (put(spool, 3), spool.recognise(frame_key(3), digest())):
            with pytest.raises(Overloaded, match="frame 2 of camera gate") as caught:
                await call
            # The rest of the second, and more where commits are slow.
            assert 0.25 < caught.value.retry_after_seconds <= 1.0
        # Others are not held up by it.
        assert await put(spool, 0, camera="yard") == [Acceptance.SPOOLED]
        clock.now += 30
        assert await put(spool, 2, 3) == [Acceptance.SPOOLED] * 2
        assert await waiting(spool) == [1, 0, 2, 3]


async def test_a_frame_that_was_put_off_elsewhere_is_not_overtaken(tmp_path):
    clock = Clock()
    async with spooling(tmp_path, clock=clock) as spool:
        await spool.pause(frame_key(3), 0.25)
        await spool.pause(frame_key(2), 0.5)
        await spool.pause(frame_key(3), 0.25)
        for late in (2, 3):
            with pytest.raises(Overloaded, match="frame 2 of camera gate was refused") as caught:
                await put(spool, late)
            assert caught.value.retry_after_seconds == 0.5
        # It was on its way before.
        assert await put(spool, 1) == [Acceptance.SPOOLED]
        clock.now += 0.5
        assert await put(spool, 2, 3) == [Acceptance.SPOOLED] * 2


async def test_a_nearly_full_disk_refuses(tmp_path):
    free = [2**20]
    async with spooling(tmp_path, min_free_bytes=2**19, free_bytes=lambda: free[0]) as spool:
        await put(spool, 0)
        free[0] = 2**19
        with pytest.raises(Overloaded, match=f"{2**19} bytes left, and {2**19} stay free"):
            await put(spool, 1)


async def test_bytes_that_the_file_has_let_go_of_are_used_on_a_full_disk(tmp_path):
    free = [2**30]
    async with spooling(tmp_path, min_free_bytes=2**20, free_bytes=lambda: free[0]) as spool:
        await put(spool, 0, stream=b"x" * 2**18)
        free[0] = 0
        await spool.remove([1])
        assert await put(spool, 1, stream=b"x" * 2**16) == [Acceptance.SPOOLED]


async def test_a_frame_larger_than_the_spool_is_refused_for_good(tmp_path):
    async with spooling(tmp_path, **room_for(1)) as spool:
        with pytest.raises(FrameTooLarge, match="at most 1100 bytes"):
            await put(spool, 0, stream=2 * STREAM)
        assert await put(spool, 1, stream=STREAM) == [Acceptance.SPOOLED]


def dropping(frames):
    return {**room_for(frames), "when_full": SpoolFull.DROP_OLDEST}


async def test_dropping_the_oldest_leaves_a_gap_where_it_was(tmp_path):
    async with spooling(tmp_path, **dropping(4)) as spool:
        await put(spool, 0, 1, stream=STREAM)
        await put(spool, 5, camera="yard", stream=STREAM)
        await put(spool, 2, 3, 4, stream=STREAM)
        assert await waiting(spool) == [(0, 1), 5, 2, 3, 4]
        gap = (await spool.pending(0, 1)).items[0].request.gap
    assert (gap.camera, gap.epoch, gap.reason) == ("gate", 1, types_pb2.GAP_REASON_SPOOL_FULL)


async def test_gaps_of_one_epoch_grow_together_and_survive(tmp_path):
    async with spooling(tmp_path, **dropping(3)) as spool:
        for number in range(50):
            await put(spool, number, stream=STREAM)
        assert spool.usage.num_dropped > 40
    async with spooling(tmp_path, **dropping(3)) as spool:
        found = await waiting(spool)
        assert found == [(0, found[1] - 1), *range(found[1], 50)]
        assert found[1] > 40
        # Accepted it was, though given up since.
        assert await put(spool, 3) == [Acceptance.DUPLICATE]
        assert spool.usage.num_bytes <= 3300


async def test_dropping_is_told_now_and_then(tmp_path, caplog):
    clock = Clock()
    async with spooling(tmp_path, **dropping(3), clock=clock) as spool:
        for number in range(20):
            await put(spool, number, stream=STREAM)
            clock.now += 1
    told = [record.getMessage() for record in caplog.records if "gives way" in record.getMessage()]
    assert len(told) == 2
    assert "of at most 3300 bytes: frame gate/1/0 gives way, the 1. since the start" in told[0]


async def test_gaps_of_several_epochs_and_cameras_stay_apart(tmp_path):
    async with spooling(tmp_path, **dropping(4)) as spool:
        for number in range(20):
            await put(spool, number, stream=STREAM)
            await put(spool, number, camera="yard", stream=STREAM)
        items = (await spool.pending(0, 100)).items
        gaps = [item.request.gap for item in items if item.request.HasField("gap")]
        assert {(gap.camera, gap.first_sequence) for gap in gaps} == {("gate", 0), ("yard", 0)}


async def test_what_is_on_its_way_is_not_dropped(tmp_path):
    async with spooling(tmp_path, **dropping(3)) as spool:
        await put(spool, 0, 1, 2, stream=STREAM)
        on_their_way = (await spool.pending(0, 2)).items
        await put(spool, 3, stream=STREAM)
        await spool.remove([item.position for item in on_their_way])
        assert await waiting(spool) == [(2, 2), 3]


async def test_a_spool_whose_frames_are_all_on_their_way_refuses(tmp_path):
    async with spooling(tmp_path, **dropping(2)) as spool:
        await put(spool, 0, 1, stream=STREAM)
        await spool.pending(0, 9)
        with pytest.raises(Overloaded):
            await put(spool, 2, stream=STREAM)


def damage(folder, sql, *parameters):
    db = sqlite3.connect(folder / "spool.sqlite3")
    with db:
        db.execute(sql, parameters)
    db.close()


async def test_a_damaged_frame_comes_as_a_gap_and_the_others_as_they_are(tmp_path, caplog):
    async with spooling(tmp_path) as spool:
        await put(spool, 0, 1, 2)
    damage(tmp_path, "UPDATE item SET request = ? WHERE position = 2", b"garbage")
    async with spooling(tmp_path) as spool:
        items = (await spool.pending(0, 9)).items
        assert [item.request.WhichOneof("item") for item in items] == ["frame", "gap", "frame"]
        gap = items[1].request.gap
        assert gap == types_pb2.Gap(
            camera="gate",
            epoch=1,
            first_sequence=1,
            last_sequence=1,
            reason=types_pb2.GAP_REASON_DAMAGED,
        )
        assert spool.usage.num_damaged == 1
        await spool.remove([1, 2, 3])
        assert spool.usage.num_items == 0
    assert "gate/1/1 have changed" in caplog.text


async def test_one_spool_has_one_encoder(tmp_path):
    async with spooling(tmp_path):
        with pytest.raises(SpoolUnusable, match="another encoder has the spool"):
            async with spooling(tmp_path):
                pass
    async with spooling(tmp_path):
        pass


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_bytes(b"no database" * 100), "file is not a database"),
        (lambda path: damage(path.parent, "CREATE TABLE other (x)"), "not a spool"),
        (lambda path: path.mkdir(), "unable to open database file"),
    ],
)
async def test_a_file_that_is_no_spool_is_refused_and_left_alone(tmp_path, prepare, message):
    path = tmp_path / "spool.sqlite3"
    prepare(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(SpoolUnusable, match=message):
        async with spooling(tmp_path):
            pass
    assert (path.is_file() and path.read_bytes()) == before


async def test_a_newer_spool_is_refused(tmp_path):
    async with spooling(tmp_path):
        pass
    damage(tmp_path, "PRAGMA user_version = 9")
    with pytest.raises(SpoolUnusable, match="up to version 1, got 9"):
        async with spooling(tmp_path):
            pass


async def test_a_closed_spool_says_so(tmp_path):
    async with spooling(tmp_path) as spool:
        pass
    with pytest.raises(SpoolFailed, match="closed"):
        await put(spool, 0)


async def test_a_caller_who_gives_up_takes_nothing_back(tmp_path):
    async with spooling(tmp_path) as spool:
        calls = [asyncio.create_task(put(spool, number)) for number in range(5)]
        await asyncio.sleep(0)
        calls[2].cancel()
        await asyncio.wait(calls)
        assert await waiting(spool) == list(range(5))


async def test_damaged_pages_fail_calls_and_hang_none(tmp_path):
    async with spooling(tmp_path) as spool:
        await put(spool, *range(8), stream=b"x" * 5000)
    path = tmp_path / "spool.sqlite3"
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[4096 * page : 4096 * page + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises((SpoolFailed, SpoolUnusable), match="malformed"):
        async with spooling(tmp_path) as spool:
            await waiting(spool)
    # The lock is free again.
    with pytest.raises((SpoolFailed, SpoolUnusable), match="malformed"):
        async with spooling(tmp_path) as spool:
            await put(spool, 9)


async def test_a_database_that_fails_fails_its_callers_and_no_others(tmp_path):
    clock = Clock()
    async with spooling(tmp_path, clock=clock) as spool:
        damage(tmp_path, "ALTER TABLE accepted RENAME TO away")
        with pytest.raises(SpoolFailed, match="no such table") as caught:
            await put(spool, 0)
        damage(tmp_path, "ALTER TABLE away RENAME TO accepted")
        clock.now += caught.value.retry_after_seconds
        assert await put(spool, 0) == [Acceptance.SPOOLED]
        assert await waiting(spool) == [0]


async def test_what_waits_behind_a_failed_commit_does_not_overtake_its_frames(tmp_path):
    clock = Clock()
    async with spooling(tmp_path, clock=clock) as spool:
        await put(spool, 0)
        damage(
            tmp_path,
            "CREATE TRIGGER full BEFORE INSERT ON item BEGIN SELECT raise(ABORT, 'no'); END",
        )
        with pytest.raises(SpoolFailed, match="no"):
            await put(spool, 1)
        damage(tmp_path, "DROP TRIGGER full")
        for call in (put(spool, 2), spool.recognise(frame_key(2), digest())):
            with pytest.raises(Overloaded, match="failed a moment ago") as caught:
                await call
        # What is known is still recognised.
        assert await spool.recognise(frame_key(0), digest())
        clock.now += caught.value.retry_after_seconds
        assert await put(spool, 1, 2) == [Acceptance.SPOOLED] * 2
        assert await waiting(spool) == [0, 1, 2]
