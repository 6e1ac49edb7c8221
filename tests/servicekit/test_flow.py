from __future__ import annotations

import asyncio

import pytest

from ugicm_servicekit.errors import Stopping
from ugicm_servicekit.flow import in_order


async def numbers(count, read):
    for number in range(count):
        read.append(number)
        yield number


async def test_answers_keep_the_order_of_the_requests():
    async def answer(number):
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return -number

    answers = in_order(numbers(10, []), answer, ahead=4, stopping=asyncio.Event())
    assert [one async for one in answers] == [-number for number in range(10)]


async def test_no_more_is_read_than_can_be_worked_ahead():
    read, running, most = [], 0, 0

    async def answer(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    answers = in_order(numbers(100, read), answer, ahead=3, stopping=asyncio.Event())
    assert await anext(answers) == 0
    for _ in range(50):
        await asyncio.sleep(0)
    assert read == [0, 1, 2]
    await anext(answers)
    for _ in range(50):
        await asyncio.sleep(0)
    assert read == [0, 1, 2, 3]
    await answers.aclose()
    assert most == 3


async def test_stopping_answers_what_was_read_and_then_ends():
    stopping = asyncio.Event()

    async def endless():
        yield 1
        yield 2
        await asyncio.Event().wait()

    async def answer(number):
        await stopping.wait()
        return number

    answers = in_order(endless(), answer, ahead=8, stopping=stopping)
    first = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    stopping.set()
    assert [await first, await anext(answers)] == [1, 2]
    with pytest.raises(Stopping):
        await anext(answers)


async def test_a_broken_request_stream_ends_the_answers_with_its_error():
    async def broken():
        yield 1
        raise ConnectionResetError("gone")

    async def answer(number):
        return number

    answers = in_order(broken(), answer, ahead=2, stopping=asyncio.Event())
    assert await anext(answers) == 1
    with pytest.raises(ConnectionResetError):
        await anext(answers)


async def test_leaving_early_cancels_the_work_under_way():
    cancelled = []

    async def answer(number):
        if number == 0:
            return 0
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    answers = in_order(numbers(9, []), answer, ahead=3, stopping=asyncio.Event())
    await anext(answers)
    for _ in range(10):
        await asyncio.sleep(0)
    await answers.aclose()
    assert cancelled == [1, 2]
