"""Places: nobody is overtaken, none get lost, and nobody has many while others ask."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.turns import RESTS, Turns


class Clock:
    """The time that a test says."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_one_that_needs_many_places_is_not_overtaken():
    turns, order = Turns(3), []

    async def work(name, places):
        await turns.acquire(name, places)
        order.append(name)

    await turns.acquire("first", 2)
    tasks = []
    for name, places in (("many", 3), ("few", 1)):
        tasks.append(asyncio.create_task(work(name, places)))
        await asyncio.sleep(0)
    assert (order, turns.waiting, turns.locked) == ([], 2, True)
    turns.release("first", 2)
    await tasks[0]
    turns.release("many", 3)
    await tasks[1]
    assert order == ["many", "few"]


async def test_when_one_that_needs_many_gives_up_those_behind_it_are_let_in():
    turns = Turns(2)
    await turns.acquire("first")
    many = asyncio.create_task(turns.acquire("many", 2))
    await asyncio.sleep(0)
    few = asyncio.create_task(turns.acquire("few"))
    await asyncio.sleep(0)
    assert turns.waiting == 2
    many.cancel()
    await few
    assert turns.waiting == 0


async def begun(turns, *wanted):
    """Let clients ask for places, and return the tasks that do."""
    tasks = []
    for client, places in wanted:
        tasks.append(asyncio.create_task(turns.acquire(client, places)))
        await asyncio.sleep(0)
    return tasks


def outcome(tasks):
    return [task.done() for task in tasks]


async def test_a_client_alone_may_have_every_place():
    turns = Turns(4, in_company=1)
    assert outcome(await begun(turns, *[("a", 1)] * 4)) == [True] * 4
    assert turns.waiting == 0


async def test_in_company_a_client_begins_more_only_when_its_own_has_ended():
    turns = Turns(9, in_company=2)
    await turns.acquire("b")
    turns.release("b")
    tasks = await begun(turns, *[("a", 1)] * 4, ("b", 1), ("c", 2))
    assert outcome(tasks) == [True, True, False, False, True, True]
    turns.release("b")
    assert outcome(tasks[2:4]) == [False, False]
    turns.release("a")
    await tasks[2]
    assert outcome(tasks[3:4]) == [False]
    turns.release("a")
    await tasks[3]


async def test_a_waiter_that_needs_more_than_its_clients_share_passes_alone():
    turns = Turns(9, in_company=2)
    await turns.acquire("b")
    tasks = await begun(turns, ("a", 5), ("a", 1))
    assert outcome(tasks) == [True, False]
    turns.release("a", 5)
    await tasks[1]


async def test_who_has_not_asked_for_long_is_company_no_more():
    clock = Clock()
    turns = Turns(9, in_company=1, clock=clock)
    await turns.acquire("b")
    turns.release("b")
    clock.seconds = 10
    assert outcome(await begun(turns, ("a", 1), ("a", 1))) == [True, False]
    clock.seconds = 10.1
    tasks = await begun(turns, ("a", 1))
    assert turns.share_of("a") == 9
    turns.release("a")
    await asyncio.gather(*tasks)


async def test_a_flood_rests_for_each_client_that_waits_for_nothing(
    monkeypatch,
):
    clock, rests = Clock(), []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *rest: rests.append(rest))
    turns = Turns(9, in_company=1, flood=2, clock=clock)
    for other in "bc":
        await turns.acquire(other)
        turns.release(other)
    tasks = await begun(turns, *[("a", 1)] * 4)
    clock.seconds = 0.5
    turns.release("a")
    assert outcome(tasks) == [True, False, False, False]
    assert outcome(await begun(turns, ("b", 1))) == [True]
    ((seconds, go_on),) = rests
    assert seconds == RESTS * 2 * 0.5
    assert outcome(tasks) == [True, False, False, False]
    go_on()
    await asyncio.sleep(0)
    assert outcome(tasks) == [True, True, False, False]


async def test_a_flood_rests_ten_seconds_at_most(monkeypatch):
    clock, rests = Clock(), []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *rest: rests.append(rest))
    turns = Turns(9, in_company=1, flood=2, clock=clock)
    await turns.acquire("b")
    turns.release("b")
    tasks = await begun(turns, *[("a", 1)] * 4)
    clock.seconds = 8
    turns.release("a")
    ((seconds, _),) = rests
    assert seconds == 10
    for task in tasks:
        task.cancel()


async def test_a_flood_that_was_alone_for_long_rests_only_for_its_last_work(monkeypatch):
    clock, rests = Clock(), []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *rest: rests.append(rest))
    turns = Turns(2, in_company=1, flood=2, clock=clock)
    tasks = await begun(turns, *[("a", 1)] * 200)
    for _ in range(100):  # with both places all the time
        clock.seconds += 1
        turns.release("a")
    other = (await begun(turns, ("b", 1)))[0]
    for _ in range(2):
        clock.seconds += 1
        turns.release("a")
        await asyncio.sleep(0)
    assert other.done()
    ((seconds, _),) = rests
    assert seconds == RESTS * 2
    for task in tasks:
        task.cancel()


async def test_a_flood_that_nobody_patient_is_beside_does_not_rest():
    turns = Turns(2, in_company=1, flood=2)
    ones = await begun(turns, *[("a", 1)] * 5)
    turns.release("a")
    await asyncio.sleep(0)
    assert outcome(ones) == [True, True, True, False, False]  # it was alone
    others = await begun(turns, *[("b", 1)] * 4)
    turns.release("a")
    turns.release("a")
    await asyncio.sleep(0)
    assert outcome(ones) == [True, True, True, True, False]  # the other has a flood too
    assert outcome(others) == [True, False, False, False]


async def test_who_waits_for_its_own_keeps_out_nobody_else():
    turns = Turns(3, in_company=1)
    await turns.acquire("b")
    await begun(turns, ("a", 1), ("a", 1))
    assert (turns.has_room("a"), turns.has_room("c")) == (False, True)
    await turns.acquire("c")
    assert not turns.has_room("d")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.booleans()), min_size=1, max_size=40
    ),
    st.integers(1, 5),
)
def test_places_are_never_exceeded_and_all_come_back(calls, in_company):
    async def run():
        turns, taken = Turns(5, in_company=in_company, flood=3), 0

        async def work(client, places):
            nonlocal taken
            await turns.acquire(client, places)
            try:
                taken += places
                assert taken <= 5
                await asyncio.sleep(0)
            finally:
                taken -= places
                turns.release(client, places)

        tasks = []
        for client, places, cancelled in calls:
            tasks.append(asyncio.create_task(work(client, places)))
            await asyncio.sleep(0)
            if cancelled:
                tasks[len(tasks) // 2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert turns.has_room("new", 5)

    asyncio.run(run())


async def test_a_waiter_that_is_dropped_leaves_nothing_to_be_collected():
    turns = Turns(1)
    await turns.acquire("a")
    gc.collect()
    gc.disable()
    try:
        task = asyncio.create_task(turns.acquire("b", may_be_dropped=True))
        other = asyncio.create_task(turns.acquire("b", may_be_dropped=True))
        await asyncio.sleep(0)
        told = []

        def refusal(client):
            error = Overloaded("full", retry_after_seconds=1.0)
            told.append(weakref.ref(error))
            return error

        assert turns.drop_for("c", refusal)
        await asyncio.wait([other])
        with pytest.raises(Overloaded):
            other.result()
        del other
        await asyncio.sleep(0)
        [gone] = told
        assert gone() is None
    finally:
        gc.enable()
        task.cancel()
