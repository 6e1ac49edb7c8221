"""The back-up that the operations guide tells of: of a decoder that runs, and restored."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys

from tests.decoder.harness import frame, order, pictures, request, started
from tests.deploy.manifests import KUBERNETES
from tests.fake_codec import FakeCodec, picture
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_client.channel import until_serving
from ugicm_servicekit.channel import open_channel

GUIDE = KUBERNETES.parents[1] / "docs" / "operations.md"


def backup_command(source, target):
    (line,) = re.findall(r"^(python -c .*) STORE BACKUP$", GUIDE.read_text(), re.MULTILINE)
    return [sys.executable, *shlex.split(line)[1:], str(source), str(target)]


async def run(command):
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    return process.returncode, error.decode()


async def test_a_store_is_backed_up_while_it_is_written_and_read_once_restored(tmp_path):
    stream = FakeCodec().encode(picture())
    store, backup = tmp_path / "frames.sqlite", tmp_path / "backup.sqlite"
    decoder = ("-m", "tests.decoder.fake_service", "--port=0")
    async with (
        started(*decoder, f"--store={store}") as (_, address),
        open_channel(address) as channel,
    ):
        await until_serving(channel)
        ingest = DecoderServiceStub(channel).Ingest()
        await ingest.write(request(frame(stream, sequence=0)))
        await ingest.read()
        assert await run(backup_command(store, backup)) == (0, "")
        # It was written while the store is in use, which goes on.
        await ingest.write(request(frame(stream, sequence=1)))
        assert (await ingest.read()).WhichOneof("outcome") == "result"
        ingest.cancel()
    async with (
        started(*decoder, f"--store={backup}") as (_, address),
        open_channel(address) as channel,
    ):
        await until_serving(channel)
        stub = DecoderServiceStub(channel)
        parts = [part async for part in stub.Decode(order(key=frame(stream).key))]
        assert (pictures(parts).pixels[0] == picture()).all()
        ingest = stub.Ingest(iter([request(frame(stream, sequence=0))]))
        assert [answer.WhichOneof("outcome") async for answer in ingest] == ["result"]


async def test_a_store_that_is_not_there_is_no_empty_backup(tmp_path):
    status, error = await run(backup_command(tmp_path / "none", tmp_path / "backup"))
    assert status != 0
    assert "unable to open database file" in error
    assert not (tmp_path / "backup").exists()
