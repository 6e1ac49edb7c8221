"""Answer for the system's state: what each service says of itself, as ``ugicm status`` asks it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ugicm_client.status import ServiceStatus, service_status
from ugicm_console.sessions import Session
from ugicm_servicekit.access import Access
from ugicm_servicekit.readiness import Readiness

__all__ = ["Place", "System"]

_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """Where a service is, and its metrics."""

    address: str
    metrics: str


@dataclass(frozen=True)
class _Figure:
    """A metric's sum, or its sum for each value that one of its labels has."""

    group: str
    words: str
    metric: str
    unit: str = ""
    each: str | None = None


# What is shown of a service's metrics, where it has them.
_FIGURES = (
    _Figure("calls", "calls under way", "ugicm_rpcs_under_way"),
    _Figure("queues", "waiting for {}", "ugicm_queued_work", each="workers"),
    _Figure("stores", "frame store", "ugicm_store_bytes", "bytes"),
    _Figure("stores", "free on its disk", "ugicm_store_free_bytes", "bytes"),
    _Figure("stores", "damaged frames", "ugicm_damaged_frames_total"),
    _Figure("stores", "results store", "ugicm_results_bytes", "bytes"),
    _Figure("stores", "free on its disk", "ugicm_results_free_bytes", "bytes"),
    _Figure("spools", "frames and gaps waiting", "ugicm_spool_items"),
    _Figure("spools", "spooled", "ugicm_spool_bytes", "bytes"),
    _Figure("spools", "oldest waiting", "ugicm_spool_oldest_seconds", "seconds"),
    _Figure("spools", "frames dropped", "ugicm_spool_dropped_frames"),
    _Figure("refusals", "{}", "ugicm_refusals_total", each="status"),
)


class System:
    """Asks every service, in the name of whoever wants to know.

    Args:
        places: of the services, by name; None: not configured.
        access: how they are reached, without a token.
        readiness: the console's own.
    """

    def __init__(
        self, places: Mapping[str, Place | None], access: Access, readiness: Readiness
    ) -> None:
        self._places = places
        self._access = access
        self._readiness = readiness

    async def status(self, request: Request, session: Session) -> Response:
        """Return what each service says of itself, and the console too."""
        services = await asyncio.gather(
            *(self._of(name, place, session) for name, place in self._places.items())
        )
        return JSONResponse({"now": time.time(), "services": [*services, self._own()]})

    async def _of(self, name: str, place: Place | None, session: Session) -> dict[str, Any]:
        if place is None:
            return {"name": name, "state": "absent", "problems": [], "models": [], "figures": []}
        found = await service_status(
            name,
            place.address,
            metrics=place.metrics,
            access=replace(self._access, token=session.secret),
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        return {
            "name": name,
            "state": found.state,
            "problems": found.problems,
            "models": found.models,
            "figures": list(_figures(found)),
        }

    def _own(self) -> dict[str, Any]:
        return {
            "name": "console",
            "state": self._readiness.state.value,
            "problems": self._readiness.problems,
            "models": [],
            "figures": [],
        }


def _figures(found: ServiceStatus) -> Iterator[dict[str, Any]]:
    for figure in _FIGURES:
        values = {
            figure.words.format(name): found.total(figure.metric, **chosen)
            for name, chosen in _chosen(found, figure)
        }
        for words, value in values.items():
            if value is not None:
                shown = {"group": figure.group, "label": words, "value": value}
                yield {**shown, "unit": figure.unit}


def _chosen(found: ServiceStatus, figure: _Figure) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what a figure is summed for: a name, and the labels that choose it."""
    if figure.each is None:
        yield "", {}
        return
    for name in found.values(figure.metric, figure.each):
        yield name, {figure.each: name}
