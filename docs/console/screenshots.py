"""Takes the pictures of the console that stand in this folder, of a system that it starts itself.

Usage: python docs/console/screenshots.py

Needs Playwright and the system's Chromium. The cameras' frames are the demo's photographs; what is
found in them, UGICM_ANALYTICS_ANALYZERS says.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from playwright.async_api import Browser, Page, async_playwright

from ugicm_client.camera import CameraClient
from ugicm_client.demo.photos import bundled_photos
from ugicm_client.demo.system import own_console, own_services

_FOLDER = Path(__file__).parent
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
_CAMERAS = ("door", "gate", "yard")
_SCHEMES = {"desktop": "light", "phone": "dark"}
# Faces are in the upper part.
_CENTRE = (0.5, 0.2)
# For pictures, analyses and events to come.
_SETTLE_MS = 4000


def main() -> None:
    """Take them all."""
    os.environ.setdefault("UGICM_ANALYTICS_WATCH", "*")
    with tempfile.TemporaryDirectory() as logs:
        asyncio.run(_take(Path(logs)))


async def _take(logs: Path) -> None:
    async with own_services(logs) as services, own_console(services, logs) as address:
        cameras = (
            _fill(services.encoder.address, camera, turn) for turn, camera in enumerate(_CAMERAS)
        )
        await asyncio.gather(*cameras)
        await _shoot(address)


async def _fill(encoder: str, camera: str, turn: int) -> None:
    """Let one camera send each photo, a second apart, beginning with another than the others'."""
    photos = bundled_photos()

    async def images() -> AsyncIterator[np.ndarray]:
        for number in range(2 * len(photos)):
            with Image.open(photos[(number + 2 * turn) % len(photos)]) as photo:
                yield np.asarray(ImageOps.fit(photo.convert("RGB"), (768, 512), centering=_CENTRE))
            await asyncio.sleep(1)

    async with CameraClient(encoder) as client:
        async for _ in client.stream(images(), camera=camera, quality=50):
            pass


async def _shoot(address: str) -> None:
    path = next(filter(None, map(shutil.which, _BROWSERS)))
    async with async_playwright() as running:
        browser = await running.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        for size, (width, height) in _SIZES.items():
            await _views(browser, address, size, width, height)
        await browser.close()


async def _views(browser: Browser, address: str, size: str, width: int, height: int) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=_SCHEMES[size]
    )
    page = await context.new_page()

    async def opened(path: str) -> None:
        await page.goto(f"{address}/#/{path}")
        await page.wait_for_timeout(_SETTLE_MS)

    await opened("")
    await _save(page, f"wall-{size}")
    await opened("camera/gate")
    await page.get_by_role("button", name="Previous").click()
    await page.get_by_role("button", name="Wipe").click()
    await page.wait_for_timeout(_SETTLE_MS)
    await _save(page, f"camera-{size}", full_page=True)
    await opened("search?label=person")
    await _save(page, f"search-{size}")
    await opened("upload")
    await page.get_by_label("Picture (").set_input_files(bundled_photos()[-1])
    await page.get_by_role("button", name="Encode").click()
    await page.wait_for_timeout(2 * _SETTLE_MS)
    await _save(page, f"upload-{size}", full_page=True)
    await opened("status")
    await _save(page, f"status-{size}")
    await context.close()


async def _save(page: Page, name: str, *, full_page: bool = False) -> None:
    """Save what is on the screen, or also what is below: lists load only what is seen."""
    shot = Image.open(io.BytesIO(await page.screenshot(full_page=full_page))).convert("RGB")
    # 256 colours are enough to see what is where, at a third of the bytes.
    reduced = shot.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    reduced.save(_FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
