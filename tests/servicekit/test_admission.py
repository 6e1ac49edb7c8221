"""Calls before work: who is refused, how early, and when it is told to come back."""

from __future__ import annotations

import asyncio

import pytest

from ugicm_servicekit.admission import Admission
from ugicm_servicekit.clients import Clients
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.turns import RESTS

CLIENTS = Clients(max_calls=99, max_calls_in_all=99, max_pixels=1)


async def entered(admission, client):
    with CLIENTS.call(client):
        return await admission.enter()


async def begun(admission, client):
    task = asyncio.create_task(entered(admission, client))
    await asyncio.sleep(0)
    return task


def refusal(admission, client):
    """Return what ``client`` is told, before anything is done for its call."""
    with CLIENTS.call(client), pytest.raises(Overloaded) as caught:
        admission.check()
    return caught.value


def full(*, seconds=2.0, uniform=lambda low, high: low, **limits):
    """Return an admission to work that takes so long, with one place and room for two to wait."""
    admission = Admission(
        **{"places": 1, "in_company": 1, "max_queued": 2, "name": "work", **limits},
        uniform=uniform,
    )
    for _ in range(99):
        admission.note(seconds)
    return admission


async def test_a_client_that_would_be_refused_is_told_so_before_it_enters():
    admission = full()
    tasks = [await begun(admission, "flood") for _ in range(3)]
    assert "2 calls wait for work already" in str(refusal(admission, "flood"))
    for task in tasks:
        task.cancel()


async def test_a_client_for_which_another_gives_way_is_not_refused():
    admission = full()
    tasks = [await begun(admission, "flood") for _ in range(3)]
    with CLIENTS.call("other"):
        admission.check()
    tasks.append(await begun(admission, "other"))
    with pytest.raises(Overloaded):
        await tasks.pop(2)
    for task in tasks:
        task.cancel()


async def test_a_client_comes_back_when_its_own_queue_is_done_however_fast_the_rest_is():
    admission = full(places=10, max_queued=0)
    admission.leave(await entered(admission, "other"))
    tasks = [await begun(admission, "flood")]
    # One place of ten is its own while another asks too: the one that has it takes 2 s.
    assert refusal(admission, "flood").retry_after_seconds == pytest.approx(2.0)
    tasks[0].cancel()


async def test_who_gives_way_comes_back_when_its_own_queue_is_done():
    admission = full(seconds=0.5, places=10, max_queued=3)
    admission.leave(await entered(admission, "other"))
    flood = [await begun(admission, "flood") for _ in range(4)]
    many = [await begun(admission, "many") for _ in range(2)]
    with pytest.raises(Overloaded) as caught:
        await flood.pop()
    # As one that comes behind its own three, and not as the first one of another; a flood rests
    # before each, for both others.
    assert caught.value.retry_after_seconds == pytest.approx((4 + 3 * 2 * RESTS) * 0.5)
    for task in (*flood, *many):
        task.cancel()


async def test_a_flood_that_rests_the_longest_is_told_so():
    admission = full(places=10, max_queued=3)
    for number in range(99):
        admission.leave(await entered(admission, f"other {number}"))
    flood = [await begun(admission, "flood") for _ in range(4)]
    # Ten seconds before each, and not ten for each of the others.
    assert refusal(admission, "flood").retry_after_seconds == pytest.approx(4 * 2.0 + 3 * 10.0)
    for task in flood:
        task.cancel()


async def test_those_who_are_refused_together_do_not_come_back_together():
    draws = iter((0.0, 0.5, 1.0))
    admission = full(max_queued=0, uniform=lambda low, high: low + next(draws) * (high - low))
    task = await begun(admission, "flood")
    hints = [refusal(admission, "flood").retry_after_seconds for _ in range(3)]
    assert hints == pytest.approx([2.0, 3.0, 4.0])
    task.cancel()
