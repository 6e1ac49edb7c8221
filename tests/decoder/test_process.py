"""The decoder as a process: killed, stopped, and started wrongly."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager

import pytest

from tests.decoder.harness import frame, ready, request, started
from tests.fake_codec import FakeCodec, picture
from tests.in_process import process_as_it_was
from ugicm.v1 import decoder_pb2 as pb
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_decoder.main import main
from ugicm_servicekit.channel import connect

__all__ = ["process_as_it_was"]

STREAM = FakeCodec().encode(picture())


@asynccontextmanager
async def process(store):
    """Start a decoder with a fake codec; yields the process and a stub."""
    flags = ("--port=0", f"--store={store}")
    async with (
        started("-m", "tests.decoder.fake_service", *flags) as (running, address),
        connect(address) as channel,
    ):
        await ready(channel)
        yield running, DecoderServiceStub(channel)


async def test_acknowledged_frames_survive_kill_9(tmp_path):
    store = tmp_path / "frames.sqlite"
    async with process(store) as (running, stub):
        call = stub.Ingest()
        for number in range(200):
            await call.write(request(frame(STREAM, sequence=number)))
        acknowledged = [(await call.read()).key for _ in range(100)]
        running.kill()
        await running.wait()
    async with process(store) as (_, stub):
        for key in acknowledged:
            answer = await stub.GetFrame(pb.GetFrameRequest(key=key))
            assert answer.frame == frame(STREAM, sequence=key.sequence)
        again = stub.Ingest(iter([request(frame(STREAM, sequence=n)) for n in range(200)]))
        results = [response.result async for response in again]
        listed = await stub.ListFrames(pb.ListFramesRequest(camera="gate", page_size=1000))
    assert results[:100] == [pb.INGEST_RESULT_DUPLICATE] * 100
    assert [stored.key.sequence for stored in listed.frames] == list(range(200))


async def test_sigterm_drains_and_ends_with_0(tmp_path):
    async with process(tmp_path / "frames.sqlite") as (running, stub):
        watch = stub.Watch(pb.WatchFramesRequest(start=1, mode=1))
        await watch.initial_metadata()
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0


def test_a_missing_model_ends_the_start_with_2_and_one_line(tmp_path, capfd):
    path = tmp_path / "missing.safetensors"
    assert main(["--port=0", f"--models={path}", f"--store={tmp_path / 'frames'}"]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("decoder: ")
    assert "missing.safetensors" in last


@pytest.mark.parametrize(
    ("flag", "name"),
    [("--threads=0", "--threads"), ("--treads=1", "--threads")],
)
def test_wrong_settings_end_the_start_with_2_and_name_the_flag(flag, name, capfd):
    assert main(["--port=0", flag]) == 2
    assert name in capfd.readouterr().err


def test_help_names_every_setting_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "is the default (default default) [UGICM_DECODER_MODELS]" in text
    assert "(default ugicm-frames.sqlite) [UGICM_DECODER_STORE]" in text
