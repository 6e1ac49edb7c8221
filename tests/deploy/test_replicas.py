"""Several decoders behind one name: calls are spread, one is drained, another is taken up."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from prometheus_client.parser import text_string_to_metric_families

from tests.decoder.harness import order
from tests.deploy.names import serving_names
from tests.deploy.replicas import METRICS_PORT, PORT, address, needs_loopback, replica
from tests.fake_codec import FakeCodec, picture
from tests.servicekit.harness import SERVICE, Encoder, echo, request
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub, add_EncoderServiceServicer_to_server
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.readiness import Problem, Severity
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import STATUS

pytestmark = needs_loopback

NUM_CLIENTS = 2
TOLERANCE = 0.2


async def answered_by(number):
    """Return how many calls of Decode a replica has answered."""

    def scrape():
        url = f"http://{address(number)}:{METRICS_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()

    return sum(
        sample.value
        for family in text_string_to_metric_families(await asyncio.to_thread(scrape))
        for sample in family.samples
        if sample.name == "ugicm_rpcs_total"
        and sample.labels == {"method": "ugicm.v1.DecoderService/Decode", "status": "OK"}
    )


class Clients:
    """Clients that keep calling, each by its own channel."""

    def __init__(self, channels):
        self._stubs = [DecoderServiceStub(channel) for channel in channels]
        self._stream = FakeCodec().encode(picture())
        # One may call while its event is set, and is at rest while its lock can be had.
        self._may_call = [asyncio.Event() for _ in channels]
        self._busy = [asyncio.Lock() for _ in channels]
        self.num_answered = 0
        self.failures = []

    @property
    def everyone(self):
        return range(len(self._stubs))

    async def keep_calling(self, client):
        while True:
            await self._may_call[client].wait()
            async with self._busy[client]:
                if self._may_call[client].is_set():  # it may be withdrawn by now
                    await self._call(self._stubs[client])

    async def _call(self, stub):
        try:
            async for _ in stub.Decode(order(stream=self._stream), timeout=30):
                pass
            self.num_answered += 1
        except grpc.aio.AioRpcError as error:
            self.failures.append((error.code().name, error.details()))

    async def rest(self):
        """Return once nobody calls any more."""
        for client in self.everyone:
            self._may_call[client].clear()
        for busy in self._busy:
            async with busy:
                pass

    def go_on(self, clients):
        """Let some of those at rest call again."""
        for client in clients:
            self._may_call[client].set()

    async def answers(self, number):
        """Return once so many more calls have been answered."""
        wanted = self.num_answered + number
        while self.num_answered < wanted:
            assert not self.failures
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def calling(self):
        tasks = [asyncio.create_task(self.keep_calling(client)) for client in self.everyone]
        self.go_on(self.everyone)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def answered_meanwhile(clients, numbers, num_calls, who):
    """Let some clients alone make so many calls or a few more; return each replica's answers."""
    # Replicas are asked one after the other: nothing may change meanwhile.
    await clients.rest()
    before = [await answered_by(number) for number in numbers]
    clients.go_on(who)
    await clients.answers(num_calls)
    await clients.rest()
    grown = [await answered_by(n) - old for n, old in zip(numbers, before, strict=True)]
    clients.go_on(clients.everyone)
    return grown


async def spread(clients, numbers, num_calls):
    """Return each replica's share of so many calls, as a multiple of the mean."""
    grown = await answered_meanwhile(clients, numbers, num_calls, clients.everyone)
    return [round(one * len(numbers) / sum(grown), 3) for one in grown]


def is_even(shares):
    return all(abs(share - 1) <= TOLERANCE for share in shares)


async def test_replicas_share_evenly_one_drains_unnoticed_and_a_new_one_is_taken_up(tmp_path):
    async with AsyncExitStack() as closing:
        names, server = await closing.enter_async_context(serving_names())
        replicas = [replica(number, tmp_path) for number in (1, 2, 3)]
        processes = await asyncio.gather(*map(closing.enter_async_context, replicas))
        names.addresses = [address(number) for number in (1, 2, 3)]
        target = f"dns://{server}/decoder:{PORT}"
        channels = [
            await closing.enter_async_context(open_channel(target)) for _ in range(NUM_CLIENTS)
        ]
        clients = Clients(channels)
        await closing.enter_async_context(clients.calling())

        # Calls begin where a client is connected first.
        for client in clients.everyone:
            while not all(await answered_meanwhile(clients, (1, 2, 3), 10, [client])):
                assert not clients.failures
        shares = await spread(clients, (1, 2, 3), 240)
        print(f"spread over three replicas, of the mean: {shares}")
        assert is_even(shares)

        names.addresses = [address(number) for number in (2, 3)]
        before = clients.num_answered
        processes[0].terminate()
        assert await processes[0].wait() == 0
        await clients.answers(60)
        print(f"drained: {clients.num_answered - before} calls answered meanwhile, 0 failed")

        await closing.enter_async_context(replica(4, tmp_path))
        names.addresses = [address(number) for number in (2, 3, 4)]
        began = time.monotonic()
        while not is_even(shares := await spread(clients, (2, 3, 4), 120)):
            assert not clients.failures
        print(f"taken up within {time.monotonic() - began:.1f} s, of the mean: {shares}")
        assert clients.failures == []


@asynccontextmanager
async def encoder(number, handle):
    """Serve in this process, whatever the health check says; yields the server."""
    settings = ServerSettings(host=address(number), port=PORT)
    server = Server(settings, STATUS, services=[SERVICE])
    server.add(add_EncoderServiceServicer_to_server, Encoder(handle))
    await server.listen()
    try:
        server.readiness.report("start", None)
        yield server
    finally:
        await server.close()


async def test_a_replica_that_is_not_ready_gets_no_calls():
    asked = []

    def noting(number):
        async def handle(message):
            asked.append(number)
            return await echo(message)

        return handle

    async with (
        serving_names() as (names, server),
        encoder(5, noting(5)) as first,
        encoder(6, noting(6)),
    ):
        names.addresses = [address(5), address(6)]
        first.readiness.report("test", Problem(Severity.BLOCKS, "told to"))
        async with open_channel(f"dns://{server}/encoder:{PORT}") as channel:
            stub = EncoderServiceStub(channel)
            for _ in range(20):
                await stub.Encode(request(), wait_for_ready=True, timeout=30)
            assert set(asked) == {6}
            first.readiness.report("test", None)
            async with asyncio.timeout(30):
                while 5 not in asked:
                    await stub.Encode(request())
