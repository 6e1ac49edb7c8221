"""What a running system says of itself: health, models, cameras and counts, asked all at once."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from ugicm.v1 import decoder_pb2_grpc, encoder_pb2_grpc, types_pb2
from ugicm_client.errors import ServiceError
from ugicm_client.operator import OperatorClient
from ugicm_servicekit.access import Access
from ugicm_servicekit.addresses import host_of, join_address
from ugicm_servicekit.channel import open_channel

__all__ = ["CameraStatus", "ServiceStatus", "metrics_address", "service_status"]

# Custom, as the setting says: metrics are at the service's port plus this.
_METRICS_OFFSET = 10
_MAX_SCRAPE_BYTES = 4 * 2**20

_STUB_OF = {
    "encoder": encoder_pb2_grpc.EncoderServiceStub,
    "decoder": decoder_pb2_grpc.DecoderServiceStub,
}


@dataclass(frozen=True)
class CameraStatus:
    """What the decoder has of one camera."""

    name: str
    num_frames: int
    num_bytes: int
    newest_epoch: int
    newest_sequence: int
    newest_seconds: float


@dataclass(frozen=True)
class ServiceStatus:
    """What one service says of itself.

    Attributes:
        state: ``ready``, ``degraded``, ``not ready`` or ``down``.
        problems: why it is not ready, or what it would not tell.
        models: name, latents id and SHA-256 of each.
        cameras: of a decoder.
        samples: its metrics, by name and labels as Prometheus writes them; empty without metrics.
        at: when it said so, in seconds that only grow.
    """

    service: str
    address: str
    state: str
    problems: list[str] = field(default_factory=list)
    models: list[dict[str, str]] = field(default_factory=list)
    cameras: list[CameraStatus] = field(default_factory=list)
    samples: Mapping[str, float] = field(default_factory=dict, repr=False)
    at: float = 0.0

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples of that name and those labels; None where there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [
            value
            for sample, value in self.samples.items()
            if sample.partition("{")[0] == name and all(one in sample for one in wanted)
        ]
        return sum(found) if found else None

    def values(self, name: str, label: str) -> list[str]:
        """Return the values that a label has in the samples of that name."""
        found = (
            re.search(rf'[{{,]{label}="([^"]*)"', sample)
            for sample in self.samples
            if sample.partition("{")[0] == name
        )
        return sorted({match[1] for match in found if match is not None})


def metrics_address(address: str) -> str:
    """Return where a service's metrics are by custom."""
    port = int(address.rpartition(":")[2])
    return join_address(host_of(address), port + _METRICS_OFFSET)


async def service_status(
    service: str, address: str, *, metrics: str, access: Access, timeout_seconds: float
) -> ServiceStatus:
    """Ask one service; whatever goes wrong is part of the answer.

    Args:
        service: ``encoder``, ``decoder`` or ``analytics``.
        address: of its calls.
        metrics: ``host:port`` of its metrics.
        access: what to show to be let in.
        timeout_seconds: for each answer.
    """
    scraping = asyncio.create_task(asyncio.to_thread(_scrape, metrics, timeout_seconds))
    probing = asyncio.create_task(asyncio.to_thread(_readiness, metrics, timeout_seconds))
    problems: list[str] = []
    models: list[dict[str, str]] = []
    cameras: list[CameraStatus] = []
    async with open_channel(address, access=access) as channel:
        try:
            state = await _health(channel, timeout_seconds)
        except grpc.aio.AioRpcError as error:
            state = "down"
            problems.append(error.details() or error.code().name)
        if state != "down" and service in _STUB_OF:
            try:
                models = await _models(service, channel, timeout_seconds)
            except grpc.aio.AioRpcError as error:
                problems.append(f"models: {error.details() or error.code().name}")
    if state != "down" and service == "decoder":
        try:
            cameras = await _cameras(address, access, timeout_seconds)
        except ServiceError as error:
            problems.append(f"cameras: {error}")
    samples, readiness = await scraping, await probing
    if readiness is not None and state != "down":
        state = str(readiness["state"])
        problems = [*map(str, readiness["problems"]), *problems]
    return ServiceStatus(
        service, address, state, problems, models, cameras, samples, time.monotonic()
    )


async def _health(channel: grpc.aio.Channel, timeout_seconds: float) -> str:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
    return "ready" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not ready"


async def _models(
    service: str, channel: grpc.aio.Channel, timeout_seconds: float
) -> list[dict[str, str]]:
    stub: Any = _STUB_OF[service](channel)
    answer = await stub.ListModels(types_pb2.ListModelsRequest(), timeout=timeout_seconds)
    return [
        {"name": model.name, "latents_id": model.latents_id.hex(), "sha256": model.sha256}
        for model in answer.models
    ]


async def _cameras(address: str, access: Access, timeout_seconds: float) -> list[CameraStatus]:
    async with OperatorClient(address, timeout_seconds=timeout_seconds, access=access) as client:
        return [
            CameraStatus(
                camera.name,
                camera.num_frames,
                camera.num_bytes,
                camera.newest_key.epoch,
                camera.newest_key.sequence,
                camera.newest_time.ToNanoseconds() / 1e9,
            )
            async for camera in client.cameras()
        ]


def _scrape(address: str, timeout_seconds: float) -> dict[str, float]:
    text = _get(f"http://{address}/metrics", timeout_seconds)
    try:
        families = list(text_string_to_metric_families(text or ""))
    except ValueError:  # something else answers there
        return {}
    samples = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def _readiness(address: str, timeout_seconds: float) -> dict[str, Any] | None:
    text = _get(f"http://{address}/readyz", timeout_seconds)
    try:
        body = json.loads(text or "null")
    except json.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and {"state", "problems"} <= body.keys() else None


def _get(url: str, timeout_seconds: float) -> str | None:
    """Return what is there; None where nothing is, or something else."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
            return str(answer.read(_MAX_SCRAPE_BYTES).decode(errors="replace"))
    except urllib.error.HTTPError as error:  # not ready is an answer too
        with error:
            return error.read(_MAX_SCRAPE_BYTES).decode(errors="replace")
    except (OSError, HTTPException, ValueError, OverflowError):  # the last for a port too large
        return None
