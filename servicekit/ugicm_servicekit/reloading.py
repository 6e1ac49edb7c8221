"""Load models anew while calls go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ugicm_servicekit.metrics import MODEL_INFO, MODEL_RELOADS
from ugicm_servicekit.models import Models

__all__ = ["reloading"]

_log = logging.getLogger(__name__)


@asynccontextmanager
async def reloading(
    models: Models, load: Callable[[], Models], wanted: asyncio.Event
) -> AsyncIterator[None]:
    """Load anew whenever ``wanted`` is set, and let new calls have what was loaded.

    Calls under way end with the models that they began with. Where loading fails, the models stay
    that were there, and one line says why.

    Args:
        models: changed in place.
        load: returns models that are ready; called in a thread.
        wanted: cleared when loading begins.
    """

    async def reload() -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            _log.info("loading models anew")
            try:
                loaded = await asyncio.to_thread(load)
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                MODEL_RELOADS.labels("failed").inc()
                _log.error("the models loaded before stay: %s", error)
                continue
            models.replace_by(loaded)
            _tell(models)
            MODEL_RELOADS.labels("loaded").inc()
            _log.info(
                "loaded %s", ", ".join(f"{one.name} {one.sha256[:8]}" for one in models.infos)
            )

    _tell(models)
    task = asyncio.create_task(reload())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _tell(models: Models) -> None:
    MODEL_INFO.clear()
    for info in models.infos:
        labels = (info.name, info.backbone, info.latents_id.hex(), info.sha256)
        MODEL_INFO.labels(*labels).set(1)
