"""What is scraped from analytics, and what ``ugicm status`` makes of it."""

from __future__ import annotations

import asyncio
import sys

import numpy as np

from tests.analytics.analyzers import Brightness, Broken
from tests.analytics.harness import RecordingDecoder, analyzing, decoding
from ugicm.v1 import analytics_pb2 as pb
from ugicm_servicekit.metrics import REGISTRY


def scraped():
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
    }


async def status(server, address):
    """Return what the command prints of a server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ugicm_client", "status", "--interval", "0.1"),
        *("--analytics", address, "--analytics-metrics", f"127.0.0.1:{server.metrics_port}"),
        *("--encoder", "127.0.0.1:1", "--decoder", "127.0.0.1:1"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output.decode().splitlines()


async def test_status_tells_of_each_analyzer_what_it_did_and_missed(tmp_path):
    decoder = RecordingDecoder(dict.fromkeys(range(3), np.full((4, 6, 3), 51, np.uint8)))
    analyzers = {one.info.name: one for one in (Brightness(), Broken())}
    port_file = tmp_path / "port"
    results = tmp_path / "results.sqlite"

    def grown(*name):
        return after.get(name, 0) - before.get(name, 0)

    async with (
        decoding(decoder) as address,
        analyzing(
            analyzers,
            decoder=address,
            results=results,
            watch=("*",),
            metrics_port=0,
            port_file=port_file,
        ) as (stub, server),
    ):
        before = scraped()
        for sequence in range(3):
            decoder.store(sequence)
        decoder.store_gap(3, 5)
        after = before
        # What is listed is counted shortly after.
        while any(grown("ugicm_missed_frames_total", name, "gap") < 1 for name in analyzers):
            await asyncio.sleep(0.01)
            after = scraped()
        assert len((await stub.ListMissed(pb.ListMissedRequest())).missed) == 2
        text = await status(server, f"127.0.0.1:{port_file.read_text().strip()}")
    assert grown("ugicm_analyzed_pictures_total", "brightness", "ok") == 3
    assert grown("ugicm_analyzed_pictures_total", "broken", "failed") == 3
    assert grown("ugicm_findings_total", "brightness") == 3
    assert grown("ugicm_results_total", "brightness", "stored") == 3
    assert grown("ugicm_missed_frames_total", "broken", "gap") == 1
    assert grown("ugicm_analyzer_seconds_count", "brightness") == grown(
        "ugicm_analysis_batch_pictures_count", "brightness"
    )
    assert after["ugicm_results_bytes",] > 0
    lines = {words[1]: line for line in text if (words := line.split())[:1] == ["analyzer"]}
    assert {"brightness", "broken"} <= set(lines)
    assert "failed" in lines["broken"]
    assert "missed" in lines["brightness"]
    assert any("results/s" in line for line in text)
