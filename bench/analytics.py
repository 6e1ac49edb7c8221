"""Watches four cameras through a decoder and analytics, and prints whether it keeps up.

Frames are coded beforehand, as cameras' encoders do on machines of their own, and ingested by a
schedule. Analytics watches by itself and stores what its analyzers find. Lag counts from the
moment at which a frame was due to the storing of its last result. Run it on a machine that does
nothing else: ``python bench/analytics.py``. What the services compute, it tells on any machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from cameras import ingest, photo_streams
from ugicm_client.demo.processes import started
from ugicm_client.errors import ClientError
from ugicm_client.pipeline import PipelineClient, ResultFilter

# How long after the last frame results are waited for.
_PATIENCE_SECONDS = 60.0


def main() -> int:
    """Measure, print a table and a verdict; 0 where analytics kept up."""
    options = _options()
    console = Console(width=max(100, Console().width))
    try:
        return asyncio.run(_measure(options, console))
    except ClientError as error:
        console.print(f"[red]{error}")
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="analytics", description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=4, help="how many (4)")
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second of each (1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--size", type=_size, default=(480, 360), help="WIDTHxHEIGHT (480x360)")
    parser.add_argument("--quality", type=int, default=50, help="of the streams (50)")
    parser.add_argument("--analyzers", default="faces,people", help="by name (faces,people)")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


async def _measure(options: argparse.Namespace, console: Console) -> int:
    cameras = [f"camera-{number}" for number in range(options.cameras)]
    every = round(options.seconds * options.rate) * len(cameras)
    with console.status(f"coding {every} frames"):
        streams = await asyncio.to_thread(
            photo_streams, every, size=options.size, quality=options.quality
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ["--store", str(folder / "frames.sqlite")]
        async with started("decoder", store, log=folder / "decoder.log") as decoder:
            flags = [
                *(f"--decoder={decoder.address}", f"--results={folder / 'results.sqlite'}"),
                *("--watch=*", f"--analyzers={options.analyzers}"),
            ]
            async with started("analytics", flags, log=folder / "analytics.log") as analytics:
                await decoder.until_serving()
                await analytics.until_serving()
                processes = {
                    name: psutil.Process(service.pid)
                    for name, service in (("decoder", decoder), ("analytics", analytics))
                }
                before = {name: _processor_seconds(one) for name, one in processes.items()}
                with console.status(f"watching for {options.seconds:g} s"):
                    frames = ingest(decoder.address, streams, cameras, options.rate)
                    sent = len([frame async for frame in frames])
                async with PipelineClient(analytics.address) as client:
                    status = await _judge(client, sent, options, console)
                used = {
                    name: (_processor_seconds(one) - before[name]) / sent
                    for name, one in processes.items()
                }
                busy = sum(used.values()) * options.rate * len(cameras)
                console.print(
                    "processor time of a frame: "
                    + ", ".join(f"{name} {1000 * one:.0f} ms" for name, one in used.items())
                    + f"; all cameras keep {busy:.2f} of {psutil.cpu_count()} processors busy"
                )
                return status


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _judge(
    client: PipelineClient, sent: int, options: argparse.Namespace, console: Console
) -> int:
    table = Table("analyzer", "frames", "results", "twice", "findings", "lag p50", "p95", "last")
    kept_up = True
    for analyzer in options.analyzers.split(","):
        lags, findings, twice = await _results(client, analyzer, sent)
        period = 1 / options.rate
        p50, p95 = np.percentile(lags, [50, 95]) if lags else (float("nan"),) * 2
        kept_up = kept_up and len(lags) == sent and not twice and p95 < period
        last = lags[-1] if lags else float("nan")
        table.add_row(
            *(analyzer, str(sent), str(len(lags)), str(twice), str(findings)),
            *(f"{1000 * seconds:.0f} ms" for seconds in (p50, p95, last)),
        )
    width, height = options.size
    console.print(
        f"{options.cameras} cameras, {width}x{height}, {options.rate:g} frames a second each, "
        f"{options.seconds:g} s"
    )
    console.print(table)
    verdict = "[green]met" if kept_up else "[red]missed"
    console.print(
        f"{verdict}[/]: every frame has one result of each analyzer, and 95 % of them within the "
        f"{1 / options.rate:g} s until the camera's next frame"
    )
    return 0 if kept_up else 1


async def _results(
    client: PipelineClient, analyzer: str, expected: int
) -> tuple[list[float], int, int]:
    """Return the lag of each frame, all findings, and how many frames have several results."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        wanted = ResultFilter(analyzers=[analyzer])
        kept = [analysis async for analysis in client.results(wanted)]
        if len(kept) >= expected or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    lags = [
        (one.store_time.ToNanoseconds() - one.capture_time.ToNanoseconds()) / 1e9 for one in kept
    ]
    findings = sum(len(result.detections) for one in kept for result in one.results)
    return lags, findings, sum(len(one.results) > 1 for one in kept)


if __name__ == "__main__":
    sys.exit(main())
