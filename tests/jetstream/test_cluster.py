"""Of NATS servers, decoders and replicas of analytics, one each is killed during a stream."""

from __future__ import annotations

import asyncio
import urllib.request
from contextlib import AsyncExitStack, suppress

import nats
from prometheus_client.parser import text_string_to_metric_families

from tests.decoder.harness import started
from tests.decoder.store_frames import until
from tests.deploy.names import serving_names
from tests.deploy.replicas import METRICS_PORT, PORT, address, replica
from tests.fake_codec import picture
from tests.jetstream.servers import nats_servers, needs_nats, ready
from ugicm.v1 import analytics_pb2
from ugicm.v1.analytics_pb2_grpc import AnalyticsServiceStub
from ugicm_client.camera import CameraClient
from ugicm_decoder.store import FrameQuery, JetStreamFrameStore
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.jetstream import NatsSettings

pytestmark = needs_nats

NUM_FRAMES = 300
SERVERS = 31, 32, 33
DECODERS = 34, 35
ANALYTICS = 36, 37
GROUP = "pipeline"


async def leader_of(servers, stream):
    """Return the number of the server that every frame goes through."""
    connection = await nats.connect(list(servers.addresses))
    info = await connection.jetstream().stream_info(stream)
    await connection.close()
    assert info.config.num_replicas == len(SERVERS)
    return int(info.cluster.leader.removeprefix("n"))


def analytics(number, folder, decoder, *flags):
    """Run a replica of a group at its own address."""
    return started(
        *("-m", "tests.analytics.watched_process"),
        f"--host={address(number)}",
        f"--port={PORT}",
        f"--metrics-host={address(number)}",
        f"--metrics-port={METRICS_PORT}",
        f"--decoder={decoder}",
        f"--results={folder / f'{number}.sqlite'}",
        "--watch=*",
        f"--watch-group={GROUP}",
        "--watch-ack-seconds=2",
        *flags,
        at=address(number),
    )


async def redelivered(number):
    """Return how many frames a replica got that another one, or it, had had before."""

    def scrape():
        url = f"http://{address(number)}:{METRICS_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()

    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(await asyncio.to_thread(scrape))
        for sample in family.samples
        if sample.name == "ugicm_redelivered_frames_total"
    )


async def subjects_of(servers, stream):
    """Return how many messages each subject of a stream has."""
    connection = await nats.connect(list(servers.addresses))
    try:
        info = await connection.jetstream().stream_info(stream, subjects_filter=">")
    finally:
        await connection.close()
    return info.state.subjects or {}


async def test_nothing_is_lost_and_no_result_is_there_twice_where_one_of_each_is_killed(
    tmp_path,
):
    async with AsyncExitStack() as opened:
        servers = opened.enter_context(nats_servers(tmp_path, *SERVERS))
        await ready(servers)
        flag = f"--nats={','.join(servers.addresses)}"
        starting = [replica(number, tmp_path, flag) for number in DECODERS]
        decoders = await asyncio.gather(*map(opened.enter_async_context, starting))
        names, resolver = await opened.enter_async_context(serving_names())
        names.addresses = [address(number) for number in DECODERS]
        decoder = f"dns://{resolver}/decoder:{PORT}"
        joining = [analytics(number, tmp_path, decoder, flag) for number in ANALYTICS]
        members = await asyncio.gather(*map(opened.enter_async_context, joining))
        encoder = (
            *("-m", "tests.encoder.fake_service", "--port=0"),
            f"--upstream={decoder}",
            f"--spool={tmp_path / 'spool'}",
            "--spool-min-free-bytes=0",
        )
        _, where = await opened.enter_async_context(started(*encoder))
        camera = await opened.enter_async_context(CameraClient(where))
        await camera.until_serving(60)
        settings = NatsSettings(nats=servers.addresses)
        leader = await leader_of(servers, settings.nats_stream)

        async def pictures():
            for sequence in range(NUM_FRAMES):
                if sequence == NUM_FRAMES // 3:
                    servers.kill(leader)
                if sequence == 2 * NUM_FRAMES // 3:
                    decoders[0].kill()
                    members[0][0].kill()
                yield picture(seed=sequence)

        num_accepted = 0
        async for sent in camera.stream(pictures(), camera="gate", epoch=1):
            assert not isinstance(sent.outcome, Exception)
            num_accepted += 1

        store = await JetStreamFrameStore.open(settings)
        opened.push_async_callback(store.close)

        async def every_frame_is_stored():
            (summary,) = await store.cameras(after="", limit=2)
            return summary.num_frames == NUM_FRAMES

        await until(every_frame_is_stored)
        records = await store.frames(FrameQuery("gate"), after=None, limit=1000)
        assert [record.key.sequence for record in records] == list(range(NUM_FRAMES))
        for record in records:
            await store.get(record.key)
        events = await store.events(0, cameras=[], limit=1000)
        assert len(events.items) == NUM_FRAMES
        results = f"{settings.nats_stream}-results-{GROUP}"

        async def every_frame_has_a_result():
            # Nobody answers while the stream's servers choose a leader.
            with suppress(nats.errors.TimeoutError):
                return len(await subjects_of(servers, results)) == NUM_FRAMES

        await until(every_frame_has_a_result)
        assert set((await subjects_of(servers, results)).values()) == {1}

        async with open_channel(f"{address(ANALYTICS[1])}:{PORT}") as channel:
            stub = AnalyticsServiceStub(channel)

            async def the_other_replica_knows_all():
                request = analytics_pb2.ListResultsRequest(page_size=1000)
                return len((await stub.ListResults(request)).analyses) == NUM_FRAMES

            await until(the_other_replica_knows_all)
        num_again = await redelivered(ANALYTICS[1])
        print(f"results {NUM_FRAMES}, each once; frames delivered again to the other: {num_again}")
        print(f"sent {NUM_FRAMES}, accepted {num_accepted}, stored {len(events.items)}, lost 0")
