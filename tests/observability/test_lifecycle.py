"""Signals to real processes, and models that are loaded anew under calls."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys

import pytest

from tests.encoder.harness import encoding, raw
from tests.fake_codec import FakeCodec, FakeModel, picture
from ugicm.v1 import encoder_pb2, types_pb2
from ugicm_codec.errors import BadModelFile
from ugicm_servicekit.errors import ReloadFailed
from ugicm_servicekit.models import Models, ReloadableModels

SERVICE = """
import asyncio, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from ugicm_servicekit.errors import Unreachable
from ugicm_servicekit.process import run_service
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import STATUS
from ugicm_servicekit.tracing import span

def work(seconds):
    with span("beginning"):
        print("working", flush=True)
    time.sleep(seconds)

async def load(settings, server):
    await asyncio.to_thread(work, 600)
    await server.serve()

async def close_slowly(settings, server):
    print("working", flush=True)
    await server.serve()
    await asyncio.to_thread(work, 600)

async def fail(settings, server):
    threads = ThreadPoolExecutor(1)
    threads.submit(work, 600)
    server.stop(because=Unreachable("nobody lets us in"))
    await server.serve()

body = {"load": load, "close": close_slowly, "fail": fail}[sys.argv[1]]
arguments = ["--drain-seconds", "0", *sys.argv[2:]]
raise SystemExit(
    run_service("decoder", ServerSettings, body, services=[], table=STATUS, arguments=arguments)
)
"""


def start(body, *flags):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, body, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.stdout.readline() != "working\n":
        pass
    return process


def test_a_signal_while_loading_ends_the_process():
    with start("load") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "told to stop while loading" in errors


def test_a_collector_that_does_not_answer_holds_up_no_end():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with start("load", "--trace-endpoint", f"http://127.0.0.1:{port}") as process:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=9)  # OTLP itself would wait for ten
    assert process.returncode == 0
    assert "told to stop while loading" in errors


def test_a_second_signal_ends_the_process_at_once():
    with start("close") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "working\n"  # it has drained, and closes
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


def test_closing_has_a_limit():
    with start("close") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "longer than the drain may" in errors


def test_a_service_that_cannot_go_on_ends_with_1_whatever_its_threads_do():
    with start("fail") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "decoder: nobody lets us in\n" in errors


def test_sighup_while_loading_is_no_end():
    with start("load") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_sighup_reloads_as_an_admin_does_and_the_service_goes_on():
    with start("close") as process:
        process.send_signal(signal.SIGHUP)
        while "reloaded: nothing changed" not in (line := process.stderr.readline()):
            assert line, "the process has ended"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "working\n"  # it has drained, and closes
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


async def until_model(encoder, sha256):
    request = types_pb2.ListModelsRequest()
    while (await encoder.stub.ListModels(request)).models[0].sha256 != sha256:
        pass


@pytest.fixture
def codecs():
    return [FakeCodec(FakeModel(sha256=digit * 64)) for digit in "ab"]


async def test_calls_go_on_while_models_are_loaded_anew(codecs):
    old, new = codecs
    async with encoding(old) as encoder:
        reloader = encoder.server.reloader
        reloader.add(ReloadableModels(encoder.models, lambda: Models([new])))
        old.go_on.clear()
        request = encoder_pb2.EncodeRequest(picture=raw(picture()))
        under_way = asyncio.ensure_future(encoder.stub.Encode(request))
        await asyncio.to_thread(old.held_up.wait, 30)
        await reloader.reload()
        await until_model(encoder, "b" * 64)
        old.go_on.set()
        # It ends with the model that it began with.
        assert (await under_way).model_sha256 == "a" * 64
        answers = await asyncio.gather(*(encoder.stub.Encode(request) for _ in range(20)))
    assert {answer.model_sha256 for answer in answers} == {"b" * 64}


async def test_models_that_cannot_be_loaded_change_nothing(codecs, caplog):
    loaded = iter([BadModelFile("no model in it"), Models([codecs[1]])])

    def load():
        outcome = next(loaded)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with encoding(codecs[0]) as encoder:
        reloader = encoder.server.reloader
        reloader.add(ReloadableModels(encoder.models, load))
        with pytest.raises(ReloadFailed, match="what was loaded before stays: no model in it"):
            await reloader.reload()
        request = encoder_pb2.EncodeRequest(picture=raw(picture()))
        assert (await encoder.stub.Encode(request)).model_sha256 == "a" * 64
        await reloader.reload()
        await until_model(encoder, "b" * 64)
    lines = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [line.getMessage() for line in lines] == ["what was loaded before stays: no model in it"]
