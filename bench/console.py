"""Moves the console's view slider, and opens it in ten browsers; prints whether it keeps up.

The slider is moved over a 768x512 frame, in a real page where a Chromium is at hand, and by HTTP
alone. Then four cameras are watched on the wall by one browser, and by ten, while another
client asks for the machine view of every frame: what the decoder's callers wait must hardly grow.
Run it on a machine that does nothing else: ``python bench/console.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from cameras import Stored, ingest, photo_streams
from ugicm_client.demo.processes import ServiceProcess, started
from ugicm_client.operator import OperatorClient
from ugicm_codec.views import MACHINE
from ugicm_servicekit.wire import FrameKey
from walls import Wall

_SIZE = (768, 512)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What is asked of the console.
_MOST_OVER_SYNTHESIS = 0.1
_MOST_GROWTH = 1.5
_WARM_UP_SECONDS = 5.0
# A reader looks at one view before the next: its exact pixels are asked for.
_PAUSE_SECONDS = 1.0

_MOVE = """async (view) => {
    const slider = document.querySelector(".view-slider input");
    const canvas = document.querySelector("canvas.picture");
    const drawn = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
            if (!canvas.dataset.address.includes(`view=${slider.value}&`)) return;
            observer.disconnect();
            requestAnimationFrame(resolve);
        });
        observer.observe(canvas, { attributes: true });
    });
    const begun = performance.now();
    slider.value = view;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await drawn;
    const shown = performance.now() - begun;
    const [answer] = performance.getEntriesByName(new URL(canvas.dataset.address, location).href);
    const synthesis = answer.serverTiming.find(({ name }) => name === "synthesis").duration;
    return [shown / 1000, synthesis / 1000];
}"""


@dataclass
class Waited:
    """Seconds that callers waited, by what for."""

    stored: list[float] = field(default_factory=list)
    machine_views: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print tables and verdicts; 0 where all are met."""
    parser = argparse.ArgumentParser(prog="console", description=__doc__.splitlines()[0])
    parser.add_argument("--browsers", type=int, default=10, help="on the wall at once (10)")
    parser.add_argument("--cameras", type=int, default=4, help="how many (4)")
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second of each (1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each round (60)")
    parser.add_argument("--moves", type=int, default=30, help="of the slider, at most 99 (30)")
    parser.add_argument("--quality", type=int, default=50, help="of the streams (50)")
    options = parser.parse_args()
    console = Console(width=max(100, Console().width))
    return asyncio.run(_measure(options, console))


async def _measure(options: argparse.Namespace, console: Console) -> int:
    num_frames = [
        max(1, round(seconds * options.rate)) * options.cameras
        for seconds in (_WARM_UP_SECONDS, options.seconds, options.seconds)
    ]
    with console.status(f"coding {sum(num_frames)} frames"):
        streams = await asyncio.to_thread(
            photo_streams, sum(num_frames), size=_SIZE, quality=options.quality
        )
    console.print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ("--store", str(folder / "frames.sqlite"))
        async with started("decoder", store, log=folder / "decoder.log") as decoder:
            await decoder.until_serving()
            behind = ("--decoder", decoder.address, "--encoder", "", "--analytics", "")
            async with started("console", behind, log=folder / "console.log") as page:
                address = f"http://{page.address}"
                cameras = [f"camera-{number}" for number in range(options.cameras)]
                rounds = []
                for epoch, browsers in enumerate((1, 1, options.browsers)):
                    mine = streams[sum(num_frames[:epoch]) :][: num_frames[epoch]]
                    with console.status(f"{browsers} on the wall"):
                        rounds.append(
                            await _walls(
                                decoder, address, mine, cameras, options.rate, epoch, browsers
                            )
                        )
                is_fast = await _slide(decoder, address, options, console)
    # The first round loaded what is loaded once.
    is_steady = _compare(console, rounds[1], rounds[2], options.browsers)
    return 0 if is_fast and is_steady else 1


async def _walls(
    decoder: ServiceProcess,
    address: str,
    streams: Sequence[bytes],
    cameras: Sequence[str],
    rate: float,
    epoch: int,
    browsers: int,
) -> Waited:
    """Let cameras store, a client decode, and browsers look, until all streams are stored."""
    waited = Waited()
    walls = [Wall(address) for _ in range(browsers)]
    following = [asyncio.create_task(wall.follow()) for wall in walls]
    async with OperatorClient(decoder.address) as client, asyncio.TaskGroup() as decoding:

        async def decode(frame: Stored) -> None:
            begun = time.perf_counter()
            await client.decode(frame.key, [MACHINE])
            waited.machine_views.append(time.perf_counter() - begun)

        async for frame in ingest(decoder.address, streams, cameras, rate, epoch=epoch):
            waited.stored.append(frame.seconds)
            decoding.create_task(decode(frame))
    for task in following:
        if task.done():
            await task  # nothing but a failure ends it
        task.cancel()
    await asyncio.wait(following)
    waited.walls = [seconds for wall in walls for seconds in wall.seconds]
    return waited


def _compare(console: Console, one: Waited, many: Waited, browsers: int) -> bool:
    table = Table(
        "milliseconds", "calls", "p50", "p99", f"{browsers}: calls", "p50", "p99", "p99 x"
    )
    growth = {}
    for name, label in (
        ("stored", "frame stored, after it was due"),
        ("machine_views", "machine view for another client"),
        ("walls", "picture on a wall"),
    ):
        figures = []
        tails = []
        for waited in (getattr(one, name), getattr(many, name)):
            p50, p99 = np.percentile(waited, [50, 99])
            figures += [str(len(waited)), f"{1000 * p50:.0f}", f"{1000 * p99:.0f}"]
            tails.append(p99)
        growth[name] = tails[1] / tails[0]
        table.add_row(label, *figures, f"{growth[name]:.2f}")
    console.print(table)
    is_met = max(growth.values()) <= _MOST_GROWTH
    _verdict(console, is_met, f"no p99 is more than {_MOST_GROWTH} times that with one browser")
    return is_met


async def _slide(
    decoder: ServiceProcess, address: str, options: argparse.Namespace, console: Console
) -> bool:
    """Move the slider over one stored frame, by HTTP and on the page."""
    key = FrameKey("camera-0", 0, 0)
    # The slider's own steps on the page, and those between by HTTP: no cache has their pixels.
    steps = [round((number + 1) / (options.moves + 1), 2) for number in range(options.moves)]
    table = Table(
        "moves", "count", "entropy decodings", "synthesis p50", "over it p50", "p95", "most"
    )
    verdicts = []
    for label, move, views in (
        ("picture by HTTP", _by_http, [step + 0.005 for step in steps]),
        ("pixels on the page", _on_page, steps),
    ):
        before = await asyncio.to_thread(_decodings, decoder)
        moved = await move(address, key, views)
        if moved is None:
            console.print("no Chromium, or no Playwright: the page itself was not measured")
            continue
        # The first look at the frame may have needed its latents; no move behind it may.
        decodings = await asyncio.to_thread(_decodings, decoder) - before
        over = [shown - synthesis for shown, synthesis in moved]
        p50, p95, most = np.percentile(over, [50, 95, 100])
        synthesis = float(np.median([synthesis for _, synthesis in moved]))
        table.add_row(
            *(label, str(len(moved)), str(decodings)),
            *(f"{1000 * seconds:.0f} ms" for seconds in (synthesis, p50, p95, most)),
        )
        verdicts.append(p95 <= _MOST_OVER_SYNTHESIS and decodings <= 1)
    console.print(table)
    _verdict(
        console,
        all(verdicts),
        "no move decodes latents again, and 95 % show within "
        f"{1000 * _MOST_OVER_SYNTHESIS:.0f} ms beside the synthesis",
    )
    return all(verdicts)


async def _by_http(
    address: str, key: FrameKey, views: Sequence[float]
) -> list[tuple[float, float]]:
    moved = []
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        await client.get("/api/session")
        path = f"/api/frames/{key.camera}/{key.epoch}/{key.sequence}/picture"
        for view in (0.0, *views):
            begun = time.perf_counter()
            query = {"view": f"{view:g}", "format": "jpeg", "quality": "92"}
            answer = (await client.get(path, params=query)).raise_for_status()
            shown = time.perf_counter() - begun
            match = re.search(r"synthesis;dur=([\d.]+)", answer.headers["server-timing"])
            assert match is not None
            moved.append((shown, float(match[1]) / 1000))
    return moved[1:]


async def _on_page(
    address: str, key: FrameKey, views: Sequence[float]
) -> list[tuple[float, float]] | None:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        path = None
    if path is None:
        return None
    async with async_playwright() as running:
        browser = await running.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1000, "height": 900})
        await page.goto(f"{address}/#/camera/{key.camera}/{key.epoch}/{key.sequence}")
        await page.wait_for_selector("canvas.picture[data-address]")
        moved: list[tuple[float, float]] = []
        for view in views:
            await asyncio.sleep(_PAUSE_SECONDS)
            shown, synthesis = await page.evaluate(_MOVE, view)
            moved.append((shown, synthesis))
        await browser.close()
    return moved


def _decodings(decoder: ServiceProcess) -> int:
    """Return how many latents the decoder has decoded, as its metrics count them."""
    with urllib.request.urlopen(f"http://{decoder.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pattern = r'^ugicm_cache_lookups_total\{cache="latents",outcome="miss"\} (\S+)$'
    match = re.search(pattern, text, re.MULTILINE)
    return 0 if match is None else int(float(match[1]))


def _verdict(console: Console, is_met: bool, words: str) -> None:
    console.print(f"{'[green]met' if is_met else '[red]missed'}[/]: {words}")


if __name__ == "__main__":
    sys.exit(main())
