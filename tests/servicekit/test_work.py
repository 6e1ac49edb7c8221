from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import grpc
import pytest

from tests.servicekit.harness import encoding, request
from ugicm.v1 import encoder_pb2
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.work import Workers


class Gate:
    """Blocks a thread until a test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.open.wait(30)
        return threading.current_thread().name


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
async def workers(gate):
    workers = Workers(threads=1, max_queued=1, name="coding")
    yield workers
    gate.open.set()
    workers.close()


async def _occupied(workers: Workers, gate: Gate) -> asyncio.Task[str]:
    task = asyncio.create_task(workers.run(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    return task


async def _queued(workers: Workers, length: int) -> None:
    while workers.queue_length != length:  # noqa: ASYNC110 - nobody announces a queue's length
        await asyncio.sleep(0)


async def test_work_runs_in_a_named_thread_while_the_loop_goes_on(workers, gate):
    task = await _occupied(workers, gate)
    assert not task.done()
    gate.open.set()
    assert (await task).startswith("coding")


async def test_errors_of_the_work_reach_the_caller(workers):
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 1, 0)


async def test_one_more_than_the_queue_holds_is_refused(workers, gate):
    first = await _occupied(workers, gate)
    second = asyncio.create_task(workers.run(str, 2))
    await _queued(workers, 1)
    with pytest.raises(Overloaded, match="1 calls wait for coding already") as caught:
        await workers.run(str, 3)
    assert caught.value.retry_after_seconds >= 0.1
    gate.open.set()
    await first
    assert await second == "2"
    assert await workers.run(str, 4) == "4"


async def test_cancelled_work_leaves_the_queue_and_never_runs(workers, gate):
    first = await _occupied(workers, gate)
    ran: list[str] = []
    second = asyncio.create_task(workers.run(ran.append, "cancelled"))
    await _queued(workers, 1)
    second.cancel()
    await _queued(workers, 0)
    third = asyncio.create_task(workers.run(ran.append, "kept"))
    gate.open.set()
    await asyncio.gather(first, third)
    assert ran == ["kept"]


async def test_work_that_runs_keeps_its_thread_when_its_call_is_cancelled(workers, gate):
    first = await _occupied(workers, gate)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(workers.run(str, 2))
    await _queued(workers, 1)
    gate.open.set()
    assert await second == "2"


async def test_work_sees_the_callers_context(workers):
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("set by the caller")
    assert await workers.run(variable.get) == "set by the caller"


async def test_the_time_in_the_queue_is_told_apart(workers, gate):
    first = await _occupied(workers, gate)
    second = asyncio.create_task(workers.timed(str, 2))
    await _queued(workers, 1)
    await asyncio.sleep(0.1)  # longer than the work takes
    gate.open.set()
    await first
    done = await second
    assert done.value == "2"
    assert done.queue_seconds > done.run_seconds >= 0


async def test_work_whose_deadline_passes_is_dropped_before_it_runs(workers, gate):
    ran: list[bytes] = []

    async def handle(message):
        await workers.run(ran.append, message.picture.data)
        return encoder_pb2.EncodeResponse()

    async with encoding(handle) as running:
        first = await _occupied(workers, gate)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request(b"late"), timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await _queued(workers, 0)
        gate.open.set()
        await first
        await running.stub.Encode(request(b"in time"))
        assert ran == [b"in time"]


async def test_a_full_queue_is_resource_exhausted_to_the_client(workers, gate):
    async def handle(message):
        await workers.run(str)
        return encoder_pb2.EncodeResponse()

    async with encoding(handle) as running:
        first = await _occupied(workers, gate)
        second = running.stub.Encode(request())
        await _queued(workers, 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        gate.open.set()
        await first
        await second
