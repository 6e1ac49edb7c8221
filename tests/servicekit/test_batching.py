"""Batches: what shares one, when it is begun, who comes first, and who fails."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugicm_servicekit.batching import Batcher, BatchLimits
from ugicm_servicekit.clients import Clients

# Longer than any test may take: what waits for it waits for something else.
NEVER = 3600.0


class Squares:
    """Computes squares, and remembers which numbers shared a batch; refuses to compute 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.began = threading.Event()

    def __call__(self, numbers):
        self.batches.append(list(numbers))
        self.began.set()
        assert self.go_on.wait(60)
        if 13 in numbers:
            raise ArithmeticError("13 is unlucky")
        return [number**2 for number in numbers]

    async def hold(self, batcher):
        """Occupy the thread until ``go_on``."""
        self.go_on.clear()
        task = asyncio.create_task(batcher.run(0, bucket="held", pixels=1))
        await asyncio.to_thread(self.began.wait, 30)
        return task


@pytest.fixture
def squares():
    return Squares()


@pytest.fixture
def make(squares):
    made = []

    def batcher(*, max_items=4, max_pixels=100, delay_seconds=NEVER, **hooks):
        limits = BatchLimits(
            max_items=max_items, max_pixels=max_pixels, delay_seconds=delay_seconds
        )
        made.append(Batcher(squares, limits=limits, name="squares", **hooks))
        return made[-1]

    yield batcher
    squares.go_on.set()
    for each in made:
        each.close()


def begun(batcher, *numbers, bucket="", pixels=1):
    return [
        asyncio.create_task(batcher.run(number, bucket=bucket, pixels=pixels)) for number in numbers
    ]


async def queued(batcher, length):
    while batcher.queue_length != length:  # noqa: ASYNC110 - nobody announces a queue's length
        await asyncio.sleep(0)


async def test_a_lone_item_is_begun_at_once(make, squares):
    done = await make().run(5, bucket="", pixels=1)
    assert (done.value, squares.batches) == (25, [[5]])


async def test_what_came_meanwhile_makes_up_the_next_batches(make, squares):
    batcher = make(max_items=3)
    held = await squares.hold(batcher)
    tasks = begun(batcher, 1, 2, 3, 4)
    await queued(batcher, 4)
    squares.go_on.set()
    assert [(await task).value for task in tasks] == [1, 4, 9, 16]
    assert squares.batches[1:] == [[1, 2, 3], [4]]
    await held


async def test_only_equal_sizes_share_a_batch(make, squares):
    batcher = make()
    held = await squares.hold(batcher)
    tasks = begun(batcher, 1, bucket="a") + begun(batcher, 2, bucket="b")
    tasks += begun(batcher, 3, bucket="a")
    await queued(batcher, 3)
    squares.go_on.set()
    await asyncio.gather(held, *tasks)
    assert squares.batches[1:] == [[1, 3], [2]]


async def test_pixels_fill_a_batch_too_and_a_large_item_has_one_of_its_own(make, squares):
    batcher = make(max_pixels=100)
    held = await squares.hold(batcher)
    tasks = begun(batcher, 1, 2, 3, bucket="half", pixels=50)
    tasks += begun(batcher, 4, 5, bucket="huge", pixels=101)
    await queued(batcher, 5)
    squares.go_on.set()
    await asyncio.gather(held, *tasks)
    assert squares.batches[1:] == [[1, 2], [3], [4], [5]]


async def test_an_item_waits_for_one_that_is_announced(make, squares):
    batcher, ready = make(), asyncio.Event()

    async def announce_then_run(number):
        with batcher.announced():
            await ready.wait()
        return await batcher.run(number, bucket="", pixels=1)

    second = asyncio.create_task(announce_then_run(2))
    await asyncio.sleep(0)
    (first,) = begun(batcher, 1)
    await queued(batcher, 1)
    assert squares.batches == []
    ready.set()
    await asyncio.gather(first, second)
    assert squares.batches == [[1, 2]]


async def test_an_item_waits_no_longer_than_the_delay(make, squares):
    batcher = make(delay_seconds=0.001)
    with batcher.announced():
        await batcher.run(1, bucket="", pixels=1)
    assert squares.batches == [[1]]


async def test_a_full_batch_waits_for_nobody(make, squares):
    batcher = make(max_items=2)
    with batcher.announced():
        await asyncio.gather(*begun(batcher, 1, 2))
    assert squares.batches == [[1, 2]]


async def test_who_was_announced_and_does_not_come_holds_nobody_up(make, squares):
    batcher = make()
    (first,) = begun(batcher, 1)
    with pytest.raises(ZeroDivisionError), batcher.announced():
        raise ZeroDivisionError
    await first
    assert squares.batches == [[1]]


async def test_cancelled_items_are_never_computed(make, squares):
    batcher = make()
    held = await squares.hold(batcher)
    one, two, three = begun(batcher, 1, 2, 3)
    await queued(batcher, 3)
    two.cancel()
    await queued(batcher, 2)
    squares.go_on.set()
    await asyncio.gather(held, one, three)
    assert squares.batches[1:] == [[1, 3]]


async def test_an_item_cancelled_while_it_is_computed_leaves_the_others_alone(make, squares):
    batcher = make()
    held = await squares.hold(batcher)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    (other,) = begun(batcher, 7)
    await queued(batcher, 1)
    squares.go_on.set()
    assert (await other).value == 49


async def test_one_that_fails_does_not_fail_its_batch(make, squares):
    batches, alone = [], []
    batcher = make(begun=batches.append, retried=alone.append)
    held = await squares.hold(batcher)
    good, bad, fine = begun(batcher, 2, 13, 3)
    await queued(batcher, 3)
    squares.go_on.set()
    with pytest.raises(ArithmeticError, match="13 is unlucky"):
        await bad
    assert ((await good).value, (await fine).value) == (4, 9)
    await held
    assert (batches, alone) == ([[0], [2, 13, 3]], [2, 13, 3])


async def test_a_flood_of_one_client_does_not_push_another_back(make, squares):
    batcher = make(max_items=2)
    clients = Clients(max_calls=99, max_calls_in_all=99, max_pixels=99)

    async def of(name, number):
        with clients.call(name):
            return await batcher.run(number, bucket="", pixels=1)

    held = await squares.hold(batcher)
    flood = [asyncio.create_task(of("flood", number)) for number in (1, 2, 3)]
    await queued(batcher, 3)
    other = asyncio.create_task(of("other", 9))
    await queued(batcher, 4)
    squares.go_on.set()
    await asyncio.gather(held, *flood, other)
    assert squares.batches[1:] == [[1, 9], [2, 3]]


async def test_waiting_and_computing_are_told_apart(make, squares):
    batcher = make()
    held = await squares.hold(batcher)
    (task,) = begun(batcher, 1)
    await queued(batcher, 1)
    await asyncio.sleep(0.1)  # longer than the first has waited
    squares.go_on.set()
    assert (await held).queue_seconds < (await held).run_seconds
    done = await task
    assert done.queue_seconds > 0
    assert done.run_seconds > 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), max_size=30))
def test_every_item_gets_its_own_result_in_a_batch_within_limits(items):
    sizes: Counter[int] = Counter()

    def compute(pairs):
        sizes[len(pairs)] += 1
        assert len({bucket for bucket, _ in pairs}) == 1
        return [f"{bucket}{number}" for bucket, number in pairs]

    async def run():
        limits = BatchLimits(max_items=3, max_pixels=10, delay_seconds=0)
        batcher = Batcher(compute, limits=limits, name="names")
        pixels = {"a": 1, "b": 4}
        try:
            return await asyncio.gather(
                *(batcher.run(item, bucket=item[0], pixels=pixels[item[0]]) for item in items)
            )
        finally:
            batcher.close()

    values = [done.value for done in asyncio.run(run())]
    assert values == [f"{bucket}{number}" for bucket, number in items]
    assert max(sizes, default=0) <= 3


@pytest.mark.parametrize(("pixels", "places"), [(1, 1), (25, 1), (26, 2), (100, 4), (999, 4)])
def test_a_picture_takes_its_share_of_a_batch(pixels, places):
    limits = BatchLimits(max_items=4, max_pixels=100, delay_seconds=0)
    assert limits.places(pixels) == places
