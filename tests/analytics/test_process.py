"""Analytics as a process: started, stopped, and started wrongly."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from tests.analytics.harness import ready
from tests.in_process import process_as_it_was
from ugicm.v1.analytics_pb2 import ListAnalyzersRequest
from ugicm.v1.analytics_pb2_grpc import AnalyticsServiceStub
from ugicm_analytics.main import main
from ugicm_servicekit.channel import connect

__all__ = ["process_as_it_was"]


async def test_a_process_serves_until_sigterm_and_ends_with_0(tmp_path):
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ugicm_analytics", "--port=0"),
        f"--results={tmp_path / 'results.sqlite'}",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = (await running.stdout.readline()).decode()
        assert line.startswith("listening on 127.0.0.1:")
        async with connect(line.split()[-1]) as channel:
            await ready(channel)
            answer = await AnalyticsServiceStub(channel).ListAnalyzers(ListAnalyzersRequest())
        assert [one.name for one in answer.analyzers] == ["faces", "people"]
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


def test_an_unknown_analyzer_ends_the_start_with_one_line(capfd):
    assert main(["--port=0", "--analyzers=faces,dogs"]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == "analytics: no analyzer is called 'dogs'; there are faces, people"


@pytest.mark.parametrize(
    ("flag", "name"), [("--threads=0", "--threads"), ("--decodr=localhost:1", "--decoder")]
)
def test_wrong_settings_end_the_start_with_2_and_name_the_flag(flag, name, capfd):
    assert main(["--port=0", flag]) == 2
    assert name in capfd.readouterr().err
