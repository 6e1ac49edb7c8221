"""A browser on the console's wall of cameras, as the page's own scripts ask there."""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import quote

import httpx

__all__ = ["Wall"]

# As the page has them: thumbnail.js and wall.js.
_AT_ONCE = 2
_MINIMUM_SECONDS = 1.0
_SEED = 12


class Wall:
    """Follows events, and loads the newest picture of each camera.

    Args:
        address: of the console, with its scheme.

    Attributes:
        seconds: that each picture took, waiting in the page not counted.
    """

    def __init__(self, address: str) -> None:
        self.seconds: list[float] = []
        self._client = httpx.AsyncClient(base_url=address, timeout=60)
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._wanted: dict[str, str] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Behave as the page does, until cancelled."""
        async with self._client as client:
            (await client.get("/api/session")).raise_for_status()
            cameras = (await client.get("/api/cameras")).json()["cameras"]
            for camera in cameras:
                path = f"/api/cameras/{quote(camera['name'])}/frames"
                await client.get(path, params={"newest_first": "true", "page_size": _SEED})
            try:
                await self._read_events(client)
            finally:
                for task in self._loading.values():
                    task.cancel()
                await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def _read_events(self, client: httpx.AsyncClient) -> None:
        kind = ""
        async with client.stream("GET", "/api/events", timeout=None) as events:
            async for line in events.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data" and kind == "frame":
                    self._wish(json.loads(value)["key"])

    def _wish(self, key: dict[str, str]) -> None:
        camera = key["camera"]
        self._wanted[camera] = f"/api/frames/{quote(camera)}/{key['epoch']}/{key['sequence']}"
        if camera not in self._loading or self._loading[camera].done():
            self._loading[camera] = asyncio.create_task(self._load(camera))

    async def _load(self, camera: str) -> None:
        """Load the newest picture that is wished for, while one is; those between are skipped."""
        while path := self._wanted.pop(camera, None):
            begun = time.perf_counter()
            async with self._gate:
                asked = time.perf_counter()
                query = {"view": "0", "format": "jpeg", "quality": "80"}
                answer = await self._client.get(f"{path}/picture", params=query)
                answer.raise_for_status()
                self.seconds.append(time.perf_counter() - asked)
            await asyncio.sleep(max(0.0, _MINIMUM_SECONDS - (time.perf_counter() - begun)))
