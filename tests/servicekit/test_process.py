"""A service's process from start to exit, as an operator sees it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest

SERVICE = """
import asyncio, sys
from ugicm_codec.errors import UnknownModel
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.process import run_service
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import STATUS

async def serve(settings, server):
    await server.serve()
    print("closed", flush=True)

async def fail(settings, server):
    raise UnknownModel("no model named 'x'")

async def find(settings, server):
    raise BadSettings(["models: two of one name", "device: unknown"])

body = {"serve": serve, "fail": fail, "find": find}[sys.argv[1]]
raise SystemExit(
    run_service("decoder", ServerSettings, body, services=[], table=STATUS, arguments=sys.argv[2:])
)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(number, tmp_path):
    port_file = tmp_path / "port"
    with start("serve", "--port-file", str(port_file)) as process:
        announced = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        assert announced is not None
        assert port_file.read_text() == f"{announced[1]}\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "closed\n")
    assert "draining" in errors
    assert not port_file.exists()


def test_an_ipv6_address_is_announced_as_clients_take_it():
    with start("serve", "--host", "::1") as process:
        announced = process.stdout.readline()
        process.terminate()
        process.communicate(timeout=30)
    assert re.fullmatch(r"listening on \[::1\]:\d+\n", announced)


def test_a_taken_port_exits_with_1_and_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with start("serve", "--port", str(port)) as process:
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "")
    assert errors == f"decoder: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_service_that_cannot_load_exits_with_1_and_one_line():
    with start("fail", "--log-level", "error") as process:
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "decoder: no model named 'x'\n")


def test_settings_found_wrong_while_loading_exit_with_2_and_a_line_each():
    with start("find", "--log-level", "error") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors == "decoder: models: two of one name\ndecoder: device: unknown\n"


def test_wrong_settings_exit_with_2_and_a_line_each():
    with start("serve", "--port", "x", "--drain-seconds", "y") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors.splitlines() == [
        "decoder: --port: expected a whole number, got 'x'",
        "decoder: --drain-seconds: expected a number, got 'y'",
    ]
