"""Of three NATS servers and two decoders, one each is killed while a camera streams."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import nats

from tests.decoder.harness import started
from tests.decoder.store_frames import until
from tests.deploy.names import serving_names
from tests.deploy.replicas import PORT, address, replica
from tests.fake_codec import picture
from tests.jetstream.servers import nats_servers, needs_nats, ready
from ugicm_client.camera import CameraClient
from ugicm_decoder.store import FrameQuery, JetStreamFrameStore
from ugicm_servicekit.jetstream import NatsSettings

pytestmark = needs_nats

NUM_FRAMES = 300
SERVERS = 31, 32, 33
DECODERS = 34, 35


async def leader_of(servers, stream):
    """Return the number of the server that every frame goes through."""
    connection = await nats.connect(list(servers.addresses))
    info = await connection.jetstream().stream_info(stream)
    await connection.close()
    assert info.config.num_replicas == len(SERVERS)
    return int(info.cluster.leader.removeprefix("n"))


async def test_a_server_and_a_decoder_are_killed_while_a_camera_streams_and_nothing_is_lost(
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
        encoder = (
            *("-m", "tests.encoder.fake_service", "--port=0"),
            f"--upstream=dns://{resolver}/decoder:{PORT}",
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
        print(f"sent {NUM_FRAMES}, accepted {num_accepted}, stored {len(events.items)}, lost 0")
