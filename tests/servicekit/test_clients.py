"""Shares of calls, of pixels and of time, and turns: so that a flood holds up only itself."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.security.credentials import tokens_of_every_role
from tests.servicekit.harness import SERVICE, encoding, request
from ugicm.v1 import encoder_pb2
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import connect
from ugicm_servicekit.clients import Clients, client_name, pixels_under_way
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.roles import Role
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.turns import Turns
from ugicm_servicekit.work import Workers

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
ENCODE = f"/{SERVICE}/Encode"


class Door:
    """Lets calls in, and out once a test opens it."""

    def __init__(self) -> None:
        self.inside = 0
        self.entered = asyncio.Condition()
        self.open = asyncio.Event()
        self.names: list[str] = []

    async def __call__(self, message):
        async with self.entered:
            self.inside += 1
            self.names.append(client_name())
            self.entered.notify_all()
        await self.open.wait()
        return encoder_pb2.EncodeResponse(stream=message.picture.data)

    async def until(self, number: int) -> None:
        async with self.entered:
            await self.entered.wait_for(lambda: self.inside >= number)


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_client_makes_no_more_calls_than_its_share():
    door = Door()
    async with encoding(door, ServerSettings(max_calls_per_client=2)) as running:
        calls = [running.stub.Encode(request()) for _ in range(2)]
        await door.until(2)
        error = await refused(running.stub.Encode(request()))
        assert error.code() is EXHAUSTED
        assert "has 2 calls under way already" in error.details()
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert running.server.refusals.counts == {(ENCODE, EXHAUSTED): 1}
        door.open.set()
        await asyncio.gather(*calls)
        await running.stub.Encode(request())


async def test_more_connections_of_a_host_make_no_more_clients():
    door = Door()
    async with (
        encoding(door, ServerSettings(max_calls_per_client=1)) as running,
        connect(f"127.0.0.1:{running.port}") as second,
    ):
        call = running.stub.Encode(request())
        await door.until(1)
        error = await refused(EncoderServiceStub(second).Encode(request()))
        assert error.code() is EXHAUSTED
        door.open.set()
        await call
        assert door.names == ["ipv4:127.0.0.1"]


async def test_who_shows_a_token_has_a_share_of_its_own(tmp_path):
    tokens = tokens_of_every_role(tmp_path)
    secrets = {name: tokens.add(Role.CAMERA, name) for name in ("north", "south")}
    door = Door()
    settings = ServerSettings(max_calls_per_client=1, tokens=tokens.path)
    async with encoding(door, settings) as running:
        address = f"127.0.0.1:{running.port}"
        async with (
            connect(address, access=Access(token=secrets["north"])) as north,
            connect(address, access=Access(token=secrets["south"])) as south,
        ):
            calls = [EncoderServiceStub(channel).Encode(request()) for channel in (north, south)]
            await door.until(2)
            error = await refused(EncoderServiceStub(north).Encode(request()))
            assert error.code() is EXHAUSTED
            door.open.set()
            await asyncio.gather(*calls)
            assert sorted(door.names) == ["north", "south"]


async def test_all_calls_together_are_limited_too():
    door = Door()
    async with encoding(door, ServerSettings(max_calls=2)) as running:
        calls = [running.stub.Encode(request()) for _ in range(2)]
        await door.until(2)
        error = await refused(running.stub.Encode(request()))
        assert (error.code(), error.details()[:22]) == (EXHAUSTED, "2 calls are under way ")
        health = health_pb2_grpc.HealthStub(running.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status
        door.open.set()
        await asyncio.gather(*calls)


async def test_watches_of_health_have_a_share_that_keeps_out_nobody_else():
    door = Door()
    door.open.set()
    async with encoding(door, ServerSettings(max_calls_per_client=1)) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status
        another = health.Watch(health_pb2.HealthCheckRequest())
        assert (await refused(another.read())).code() is EXHAUSTED
        await running.stub.Encode(request())
        watch.cancel()


async def test_a_health_check_whose_request_never_comes_is_given_up():
    async def nothing():
        await asyncio.Event().wait()
        yield b""

    async with encoding(Door(), ServerSettings(request_seconds=0.1)) as running:
        check = running.channel.stream_unary("/grpc.health.v1.Health/Check")
        assert (await refused(check(nothing()))).code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_calls_beyond_a_connections_limit_wait_at_the_client():
    door = Door()
    async with encoding(door, ServerSettings(max_calls_per_connection=1)) as running:
        calls = [running.stub.Encode(request()) for _ in range(2)]
        await door.until(1)
        door.open.set()
        await asyncio.gather(*calls)
        assert door.inside == 2


async def test_a_request_that_does_not_arrive_in_its_time_is_given_up():
    door = Door()
    settings = ServerSettings(request_seconds=1, max_calls_per_client=1)
    async with encoding(door, settings) as running:

        async def nothing():
            await asyncio.Event().wait()
            yield b""

        slow = running.channel.stream_unary(ENCODE)
        error = await refused(slow(nothing()))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.details() == "the request did not arrive within 1 s"
        assert running.server.refusals.counts == {(ENCODE, grpc.StatusCode.DEADLINE_EXCEEDED): 1}
        door.open.set()
        await running.stub.Encode(request())  # its place is free again


async def test_a_call_without_its_request_is_invalid():
    async with encoding() as running:
        none = running.channel.stream_unary(ENCODE)
        assert (await refused(none(iter([])))).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_that_goes_away_while_it_sends_leaves_its_place():
    door = Door()
    async with encoding(door, ServerSettings(max_calls_per_client=1)) as running:
        begun = asyncio.Event()

        async def nothing():
            begun.set()
            await asyncio.Event().wait()
            yield b""

        call = running.channel.stream_unary(ENCODE)(nothing())
        await begun.wait()
        call.cancel()
        door.open.set()
        async with asyncio.timeout(20):
            while True:  # the cancellation may still be under way
                try:
                    await running.stub.Encode(request())
                    break
                except grpc.aio.AioRpcError as error:
                    assert error.code() is EXHAUSTED


async def test_pixels_under_way_are_a_clients_own():
    clients = Clients(max_calls=9, max_calls_in_all=9, max_pixels=100)
    with clients.call("north"):
        with pixels_under_way(60):
            too_many = pytest.raises(Overloaded, match="north has 60 pixels under way, 41 more")
            with too_many, pixels_under_way(41):
                pytest.fail("too many")
            with pixels_under_way(40):
                pass
            with clients.call("south"), pixels_under_way(100):
                pass
        with pixels_under_way(100):
            pass


async def test_a_picture_beyond_the_share_passes_alone():
    clients = Clients(max_calls=9, max_calls_in_all=9, max_pixels=100)
    too_many = pytest.raises(Overloaded)
    with clients.call("north"), pixels_under_way(101), too_many, pixels_under_way(1):
        pytest.fail("too many")


async def _waiting(turns: Turns, names: str) -> list[asyncio.Task[None]]:
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(turns.acquire(name, may_be_dropped=True)))
        await asyncio.sleep(0)
    return tasks


async def test_clients_that_wait_take_turns():
    turns = Turns(1)
    await turns.acquire("first")
    order: list[str] = []

    async def work(name):
        await turns.acquire(name[0])
        order.append(name)
        turns.release(name[0])

    tasks = []
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        tasks.append(asyncio.create_task(work(name)))
        await asyncio.sleep(0)
    turns.release("first")
    await asyncio.gather(*tasks)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert (turns.waiting, turns.locked) == (0, False)


async def test_cancelled_waiters_leave_and_lose_no_place():
    turns = Turns(1)
    await turns.acquire("first")
    one, two = await _waiting(turns, "ab")
    one.cancel()
    await asyncio.sleep(0)
    assert turns.waiting == 1
    turns.release("first")
    two.cancel()  # it has its place, and has not been told
    await asyncio.gather(one, two, return_exceptions=True)
    assert not turns.locked


async def test_a_full_queue_makes_room_for_who_has_less_in_it():
    turns = Turns(1)
    await turns.acquire("first")
    flood = await _waiting(turns, "aaa")

    def refusal(client):
        return Overloaded(f"told {client}", retry_after_seconds=1)

    assert not turns.drop_for("a", refusal)
    assert turns.drop_for("b", refusal)
    with pytest.raises(Overloaded, match="told a"):
        await flood[2]
    (fair,) = await _waiting(turns, "b")
    assert not turns.drop_for("b", refusal)  # it would have as many
    for name in ("first", "a", "b", "a"):
        turns.release(name)
    await asyncio.gather(*flood[:2], fair)


async def test_work_that_was_let_in_is_not_dropped():
    turns = Turns(1)
    await turns.acquire("first")
    tasks = [asyncio.create_task(turns.acquire("a")) for _ in range(3)]
    await asyncio.sleep(0)
    assert not turns.drop_for("b", lambda _: Overloaded("full", retry_after_seconds=1))
    for name in ("first", "a", "a", "a"):
        turns.release(name)
    await asyncio.gather(*tasks)


async def test_a_flood_of_work_lets_another_client_in():
    workers = Workers(threads=1, max_queued=4, name="coding")
    clients = Clients(max_calls=100, max_calls_in_all=100, max_pixels=1)
    go_on, order = threading.Event(), []

    async def work(client, name):
        with clients.call(client):
            await workers.run(lambda: (go_on.wait(30), order.append(name)))

    try:
        flood = []
        for number in range(5):
            flood.append(asyncio.create_task(work("flood", number)))
            await asyncio.sleep(0)
        other = asyncio.create_task(work("other", "other"))
        await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        await other
        assert [type(outcome) for outcome in outcomes].count(Overloaded) == 1
        assert isinstance(outcomes[4], Overloaded)
        assert order == [0, 1, "other", 2, 3]
    finally:
        go_on.set()
        workers.close()
