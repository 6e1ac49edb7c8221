"""An encoder whose decoder is a name: where one replica drains, the next one takes its frames."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, closing

from tests.decoder.harness import started
from tests.decoder.store_frames import until
from tests.deploy.names import serving_names
from tests.deploy.replicas import PORT, address, needs_loopback, replica
from tests.fake_codec import picture
from ugicm_client.camera import CameraClient
from ugicm_servicekit.sqlite import unsigned

pytestmark = needs_loopback

NUM_FRAMES = 20


def stored(folder, number):
    with closing(sqlite3.connect(folder / f"{number}.sqlite")) as db:
        return {unsigned(sequence) for (sequence,) in db.execute("SELECT sequence FROM frame")}


async def test_frames_go_to_another_replica_when_theirs_drains(tmp_path):
    async with AsyncExitStack() as opened:
        names, server = await opened.enter_async_context(serving_names())
        first = await opened.enter_async_context(replica(7, tmp_path))
        names.addresses = [address(7)]
        encoder = (
            *("-m", "tests.encoder.fake_service", "--port=0"),
            f"--upstream=dns://{server}/decoder:{PORT}",
            f"--spool={tmp_path / 'spool'}",
            "--spool-min-free-bytes=0",
        )
        _, where = await opened.enter_async_context(started(*encoder))
        camera = await opened.enter_async_context(CameraClient(where))
        await camera.until_serving(60)

        async def pictures():
            for sequence in range(NUM_FRAMES):
                if sequence == NUM_FRAMES // 2:
                    await opened.enter_async_context(replica(8, tmp_path))
                    names.addresses = [address(8)]
                    first.terminate()
                    await first.wait()
                yield picture(seed=sequence)

        async for sent in camera.stream(pictures(), camera="gate", epoch=1, most_unanswered=1):
            assert not isinstance(sent.outcome, Exception)

        async def every_frame_is_stored():
            return stored(tmp_path, 7) | stored(tmp_path, 8) == set(range(NUM_FRAMES))

        await until(every_frame_is_stored)
        assert stored(tmp_path, 7)
        assert stored(tmp_path, 8)
