"""``ugicm status`` against real servers on free ports."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.decoder.harness import decoding, frame
from tests.encoder.harness import encoding
from tests.fake_codec import FakeCodec, picture
from tests.ports import free_port


def unused_address():
    return f"127.0.0.1:{free_port()}"


async def status(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ugicm_client",
        "status",
        "--interval",
        "0.2",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert errors == b""
    return process.returncode, output.decode()


async def test_a_running_system_is_shown(tmp_path):
    async with (
        decoding(tmp_path, metrics_port=0) as decoder,
        encoding(upstream=f"127.0.0.1:{decoder.port}") as encoder,
    ):
        await decoder.ingest(frame(FakeCodec().encode(picture())))
        where = (
            *("--encoder", f"127.0.0.1:{encoder.port}", "--decoder", f"127.0.0.1:{decoder.port}"),
            *("--analytics", unused_address(), "--encoder-metrics", unused_address()),
            *("--decoder-metrics", f"127.0.0.1:{decoder.server.metrics_port}"),
        )
        code, text = await status(*where)
        _, lines = await status(*where, "--json")
    assert code == 1  # analytics is down
    told = {record["service"]: record for record in map(json.loads, lines.splitlines())}
    assert [told[name]["state"] for name in told] == ["ready", "ready", "down"]
    (camera,) = told["decoder"]["cameras"]
    assert (camera["camera"], camera["num_frames"]) == ("gate", 1)
    assert told["decoder"]["models"][0]["name"] == "fake"
    assert told["decoder"]["metrics"]["ugicm_store_bytes"] > 0
    assert told["encoder"]["metrics"] == {}
    assert "camera gate  1 frames" in text
    assert "no metrics" in text
    assert text.splitlines()[-2].endswith("down")


async def test_what_is_at_the_address_of_metrics_may_be_something_else():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n<html>another service</html>")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        page = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        where = [("--" + name, unused_address()) for name in ("encoder", "decoder", "analytics")]
        code, text = await status(*sum(where, ()), "--decoder-metrics", page, "--json")
    assert code == 1
    assert [json.loads(line)["metrics"] for line in text.splitlines()] == [{}, {}, {}]


async def test_an_address_without_a_port_is_bad_usage():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ugicm_client", "status", "--decoder", "here"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"HOST:PORT" in errors
