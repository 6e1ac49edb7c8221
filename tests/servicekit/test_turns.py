"""Places for waiters that need several: nobody is overtaken, and none get lost."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ugicm_servicekit.turns import Turns


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
    turns.release(2)
    await tasks[0]
    turns.release(3)
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


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.booleans()), min_size=1, max_size=40
    )
)
def test_places_are_never_exceeded_and_all_come_back(calls):
    async def run():
        turns, taken = Turns(5), 0

        async def work(client, places):
            nonlocal taken
            await turns.acquire(client, places)
            try:
                taken += places
                assert taken <= 5
                await asyncio.sleep(0)
            finally:
                taken -= places
                turns.release(places)

        tasks = []
        for client, places, cancelled in calls:
            tasks.append(asyncio.create_task(work(client, places)))
            await asyncio.sleep(0)
            if cancelled:
                tasks[len(tasks) // 2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert turns.has_room(5)

    asyncio.run(run())
