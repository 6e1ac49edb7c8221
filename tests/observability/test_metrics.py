"""What is scraped from a real decoder and encoder, after real calls."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

import ugicm_analytics.metrics
import ugicm_console.metrics
import ugicm_decoder.metrics
import ugicm_encoder.metrics
from tests.decoder.harness import decoding, frame
from tests.encoder.harness import encoding
from tests.fake_codec import FakeCodec, picture
from ugicm_servicekit.health import LIVENESS
from ugicm_servicekit.metrics import REGISTRY
from ugicm_servicekit.readiness import Problem, Severity

ROOT = Path(__file__).parents[2]
assert ugicm_analytics.metrics
assert ugicm_console.metrics
assert ugicm_decoder.metrics
assert ugicm_encoder.metrics


async def get(port, path):
    def fetch():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def samples(port):
    _, text = await get(port, "/metrics")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_calls_did(tmp_path):
    decode = "ugicm.v1.DecoderService/Decode"
    stream = FakeCodec().encode(picture())
    async with decoding(tmp_path, metrics_port=0) as decoder:
        port = decoder.server.metrics_port
        before = await samples(port)

        def grown(*name):
            return after.get(name, 0) - before.get(name, 0)

        await decoder.ingest(frame(stream), frame(stream))
        await decoder.decode(key=frame(stream).key)
        with pytest.raises(grpc.aio.AioRpcError):
            await decoder.decode(key=frame(stream, sequence=9).key)
        after = await samples(port)
        # A call is counted once its status is on its way.
        while not grown("ugicm_rpcs_total", "NOT_FOUND", decode):
            after = await samples(port)
    assert grown("ugicm_rpcs_total", "OK", decode) == 1
    assert grown("ugicm_rpcs_total", "NOT_FOUND", decode) == 1
    assert grown("ugicm_rpc_seconds_count", decode) == 2
    assert grown("ugicm_refusals_total", "FrameNotFound", "NOT_FOUND", decode) == 1
    assert grown("ugicm_ingested_items_total", "frame", "stored") == 1
    assert grown("ugicm_ingested_items_total", "duplicate", "frame") == 1
    assert grown("ugicm_ingested_stream_bytes_total") == len(stream)
    assert grown("ugicm_received_bytes_total", "ugicm.v1.DecoderService/Ingest") > 2 * len(stream)
    assert grown("ugicm_sent_bytes_total", decode) > picture().nbytes
    assert grown("ugicm_stage_seconds_count", "synthesis") == 1
    assert grown("ugicm_stage_seconds_count", "commit") == 2
    assert after["ugicm_rpcs_under_way",] == before["ugicm_rpcs_under_way",]
    assert after["ugicm_store_bytes",] > 0


async def test_probes_tell_liveness_from_readiness(tmp_path):
    async with decoding(tmp_path, metrics_port=0) as decoder:
        port = decoder.server.metrics_port
        assert await get(port, "/livez") == (200, '{"alive": true}\n')
        assert json.loads((await get(port, "/readyz"))[1]) == {"state": "ready", "problems": []}
        decoder.server.readiness.report("test", Problem(Severity.BLOCKS, "told to"))
        status, body = await get(port, "/readyz")
        assert (status, json.loads(body)["state"]) == (503, "not ready")
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/"))[0] == 404
        health = health_pb2_grpc.HealthStub(decoder.channel)
        for name, expected in (("", 2), (LIVENESS, 1)):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == expected


async def until(readiness, state):
    async with asyncio.timeout(30):
        while readiness.state.value != state:
            await readiness.changed()


@pytest.mark.parametrize(("spool", "state"), [(False, "not ready"), (True, "degraded")])
async def test_an_encoder_is_ready_without_its_decoder_only_with_a_spool(spool, state, tmp_path):
    settings = {"spool": tmp_path / "spool"} if spool else {}
    async with (
        decoding(tmp_path) as decoder,
        encoding(upstream=f"127.0.0.1:{decoder.port}", **settings) as encoder,
    ):
        readiness = encoder.server.readiness
        await until(readiness, "ready")
        decoder.server.stop()
        await decoder.serving
        await decoder.server.close()
        await until(readiness, state)
        assert "cannot be reached" in readiness.problems[0]


async def test_a_full_store_degrades_a_decoder(tmp_path):
    async with decoding(tmp_path, min_free_bytes=2**62) as decoder:
        readiness = decoder.server.readiness
        await until(readiness, "degraded")
        assert readiness.is_ready


def test_the_documentation_lists_every_metric():
    text = (ROOT / "docs/operations.md").read_text()
    listed = set(re.findall(r"^\| `(ugicm_\w+)`", text, re.MULTILINE))
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("ugicm_")}
    assert listed == ours
