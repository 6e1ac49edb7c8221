"""``ugicm status``: what a running system does, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record

if TYPE_CHECKING:
    from ugicm_client.status import CameraStatus, ServiceStatus
    from ugicm_servicekit.access import Access

__all__ = ["status"]

_SERVICES = ("encoder", "decoder", "analytics")
# What a service's lines show of its metrics, where it has them: a word, a metric, and its unit.
_SHOWN = (
    ("calls under way", "ugicm_rpcs_under_way", ""),
    ("waiting", "ugicm_queued_work", ""),
    ("spooled", "ugicm_spool_items", ""),
    ("spool", "ugicm_spool_bytes", "B"),
    ("oldest spooled", "ugicm_spool_oldest_seconds", "s"),
    ("store", "ugicm_store_bytes", "B"),
    ("free", "ugicm_store_free_bytes", "B"),
    ("results", "ugicm_results_bytes", "B"),
    ("damaged", "ugicm_damaged_frames_total", ""),
    ("refusals", "ugicm_refusals_total", ""),
    ("memory", "process_resident_memory_bytes", "B"),
)
_RATES = (
    ("calls/s", "ugicm_rpcs_total"),
    ("coded/s", "ugicm_encoded_pictures_total"),
    ("stored/s", "ugicm_ingested_items_total"),
    ("decoded/s", "ugicm_pictures_total"),
    ("analyzed/s", "ugicm_analyzed_pictures_total"),
    ("results/s", "ugicm_results_total"),
)


@click.command(
    epilog="""\b
Examples:
  ugicm status
  ugicm status --watch
  ugicm status --encoder edge-7:50051 --encoder-metrics edge-7:9051 --json | jq .state"""
)
@options.system_options
@click.option("--watch", is_flag=True, help="Ask again and again, until interrupted.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks; rates are of this time.",
)
@options.json_option
def status(
    addresses: dict[str, str],
    metrics: dict[str, str | None],
    access: Access,
    watch: bool,
    interval: float,
    as_json: bool,
) -> int:
    """Show whether the services are there, and what they have to do.

    Health, models and cameras come by gRPC. Queues, rates, spool, store and refusals come from the
    metrics of services that serve them (--metrics-port); by custom at their port plus 10.
    Exit code 1: a service is down or not ready.
    """
    import asyncio

    return asyncio.run(_status(addresses, metrics, access, watch, interval, as_json))


async def _status(
    addresses: dict[str, str],
    metrics: dict[str, str | None],
    access: Access,
    watch: bool,
    interval: float,
    as_json: bool,
) -> int:
    import asyncio

    from ugicm_client.status import metrics_address, service_status

    async def look() -> list[ServiceStatus]:
        return await asyncio.gather(
            *(
                service_status(
                    name,
                    address,
                    metrics=metrics[name] or metrics_address(address),
                    access=access,
                    timeout_seconds=max(interval, 2.0),
                )
                for name, address in addresses.items()
            )
        )

    before = await look()
    while True:
        await asyncio.sleep(interval)
        now = await look()
        if watch and not as_json:
            click.clear()
        for earlier, later in zip(before, now, strict=True):
            if as_json:
                print_record(_record(earlier, later))
            else:
                click.echo("\n".join(_lines(earlier, later)))
        if not watch:
            return int(any(one.state in ("down", "not ready") for one in now))
        before = now


def _record(before: ServiceStatus, now: ServiceStatus) -> dict[str, object]:
    return {
        "service": now.service,
        "address": now.address,
        "state": now.state,
        "problems": now.problems,
        "models": now.models,
        "cameras": [
            {
                "camera": camera.name,
                "num_frames": camera.num_frames,
                "num_bytes": camera.num_bytes,
                "newest_sequence": camera.newest_sequence,
                "frames_per_second": _camera_rate(before, now, camera),
            }
            for camera in now.cameras
        ],
        "rates": dict(_rates(before, now)),
        "metrics": dict(now.samples),
    }


def _lines(before: ServiceStatus, now: ServiceStatus) -> Iterator[str]:
    yield f"{now.service:<10}{now.address:<22}{now.state}"
    for problem in now.problems:
        yield f"  ! {problem}"
    for model in now.models:
        sha256 = model["sha256"][:12]
        yield f"  model {model['name']}  latents {model['latents_id']}  sha256 {sha256}"
    for camera in now.cameras:
        rate = _camera_rate(before, now, camera)
        size = _quantity(camera.num_bytes, "B")
        yield (
            f"  camera {camera.name}  {camera.num_frames} frames  {size}"
            f"  newest {camera.newest_epoch}/{camera.newest_sequence}"
            + ("" if rate is None else f"  {rate:.1f}/s")
        )
    yield from _analyzer_lines(now)
    shown = [f"{word} {rate:.1f}" for word, rate in _rates(before, now)]
    for word, metric, unit in _SHOWN:
        value = now.total(metric)
        if value is not None:
            shown.append(f"{word} {_quantity(value, unit)}")
    if shown:
        yield "  " + "  ".join(shown)
    elif now.state != "down":
        yield "  no metrics: see --metrics-port of the service"


def _analyzer_lines(now: ServiceStatus) -> Iterator[str]:
    for name in now.values("ugicm_analyzer_stuck", "analyzer"):

        def of(metric: str, name: str = name, **labels: str) -> float:
            return now.total(metric, analyzer=name, **labels) or 0.0

        parts = [f"{of('ugicm_analyzed_pictures_total'):.0f} pictures"]
        parts.append(f"{of('ugicm_findings_total'):.0f} findings")
        for outcome in ("failed", "refused", "late"):
            number = of("ugicm_analyzed_pictures_total", outcome=outcome)
            if number:
                parts.append(f"{number:.0f} {outcome}")
        parts.append(
            f"waiting {now.total('ugicm_queued_work', workers=f'analyzer {name}') or 0:.0f}"
        )
        lag = now.total("ugicm_watch_lag_seconds", analyzer=name)
        if lag is not None:
            parts.append(f"watch lag {lag:.1f}s")
        missed = of("ugicm_missed_frames_total")
        if missed:
            parts.append(f"missed {missed:.0f}")
        if of("ugicm_analyzer_stuck"):
            parts.append("does not answer")
        yield f"  analyzer {name}  " + "  ".join(parts)


def _rates(before: ServiceStatus, now: ServiceStatus) -> Iterator[tuple[str, float]]:
    for word, metric in _RATES:
        earlier, later = before.total(metric), now.total(metric)
        # Less than before: it was started anew.
        if earlier is not None and later is not None and later >= earlier:
            yield word, (later - earlier) / (now.at - before.at)


def _camera_rate(before: ServiceStatus, now: ServiceStatus, camera: CameraStatus) -> float | None:
    for earlier in before.cameras:
        if (earlier.name, earlier.newest_epoch) == (camera.name, camera.newest_epoch):
            return (camera.newest_sequence - earlier.newest_sequence) / (now.at - before.at)
    return None


def _quantity(value: float, unit: str) -> str:
    if unit != "B":
        return f"{value:.0f}{unit}"
    power = min(4, int(math.log10(max(value, 1)) // 3))
    return f"{value / 1000**power:.3g} {('B', 'KB', 'MB', 'GB', 'TB')[power]}"
